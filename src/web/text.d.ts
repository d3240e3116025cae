/** Files of the page are imported as text: rollup and vitest turn them into strings. */
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
