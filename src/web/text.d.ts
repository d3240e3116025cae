/** Files of the page are imported as strings (deploy/page-script.mjs), a script with everything that it imports. */
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
