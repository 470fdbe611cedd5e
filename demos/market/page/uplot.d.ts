/** The page loads uPlot from where the server has mounted it; its types come from the package. */
declare module '*/uPlot.esm.js' {
  import uPlot from 'uplot'
  export default uPlot
}
