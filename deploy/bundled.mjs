/** Packages that the bundle in dist/ contains. All other dependencies are loaded from node_modules. */
export const BUNDLED = ['zod', 'commander', 'yaml', 'protobufjs', 'csv-parse', 'mqtt'];
