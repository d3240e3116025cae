/** Files of the page are imported as strings, by plugins of rollup and vitest. */
declare module '*.html' {
  const text: string;
  export default text;
}
declare module '*.css' {
  const text: string;
  export default text;
}
declare module '*.client.js' {
  const text: string;
  export default text;
}
declare module 'uplot/dist/uPlot.esm.js' {
  const text: string;
  export default text;
}
