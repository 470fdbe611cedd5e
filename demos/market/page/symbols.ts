/** A listed company that does not exist. */
export interface Listing {
  readonly symbol: string
  readonly name: string
  /** Where its price begins, and what the day's change is counted from. */
  readonly close: number
  /** Its share of all trades: the first of the list trade most, as everywhere. */
  readonly share: number
  /** How far its price wanders in a second, as a part of itself. */
  readonly volatility: number
}

const names: readonly (readonly [symbol: string, name: string, close: number, volatility: number])[] = [
  ['KELP', 'Kelp Marine', 184.2, 3.2],
  ['ORCA', 'Orca Systems', 412.55, 2.6],
  ['TIDE', 'Tidewater Energy', 78.4, 2.2],
  ['WEIR', 'Weir & Sons', 231.1, 2.4],
  ['MILL', 'Millrace Works', 96.75, 3.6],
  ['REEF', 'Reef Semiconductor', 528.3, 4.4],
  ['LOCK', 'Lockgate Security', 143.9, 2.9],
  ['FJRD', 'Fjord Shipping', 61.25, 2.3],
  ['DELT', 'Delta Freight', 118.6, 2.1],
  ['GEYS', 'Geyser Power', 47.8, 3.4],
  ['BROK', 'Brook Foods', 88.15, 1.4],
  ['CASC', 'Cascade Software', 302.4, 3.1],
  ['DRFT', 'Driftwood Homes', 54.35, 2.0],
  ['EDDY', 'Eddy Analytics', 167.2, 3.8],
  ['ESTU', 'Estuary Bank', 39.9, 1.8],
  ['FALL', 'Fallwater Hydro', 72.05, 1.9],
  ['FLUX', 'Flux Motors', 251.7, 4.8],
  ['FORD', 'Fordway Rail', 133.45, 1.5],
  ['GLAC', 'Glacier Pharma', 209.8, 3.0],
  ['GULF', 'Gulfstone Mining', 26.4, 2.8],
  ['HARB', 'Harbour Logistics', 114.3, 1.7],
  ['ISLE', 'Isle Telecom', 31.15, 1.3],
  ['JETT', 'Jetty Retail', 83.6, 2.0],
  ['KEEL', 'Keel Aerospace', 187.95, 2.7],
  ['LAGN', 'Lagoon Resorts', 44.7, 2.4],
  ['MARI', 'Mariner Insurance', 156.25, 1.4],
  ['MIST', 'Mistral Wind', 58.9, 3.3],
  ['NAUT', 'Nautilus Robotics', 276.1, 4.1],
  ['OASI', 'Oasis Beverages', 67.3, 1.2],
  ['PIER', 'Pierpoint Capital', 101.8, 1.9],
  ['POND', 'Pond Biotech', 18.25, 5.6],
  ['QUAY', 'Quayside Media', 36.5, 2.3],
  ['RAIN', 'Rainmaker Agro', 49.1, 2.1],
  ['RIVR', 'River Textiles', 22.8, 1.6],
  ['SAIL', 'Sailcloth Apparel', 75.4, 1.8],
  ['SALT', 'Saltworks Chemical', 92.2, 1.7],
  ['SHOR', 'Shoreline Realty', 41.3, 1.5],
  ['SPRG', 'Spring Water', 29.6, 1.1],
  ['SURF', 'Surfline Streaming', 129.9, 3.7],
  ['WAVE', 'Waveform Audio', 64.85, 2.6],
]

const weight = (rank: number): number => 1 / (rank + 2) ** 0.9
const weights = names.reduce((sum, _, rank) => sum + weight(rank), 0)

/** Forty of them, from the liquid to the quiet. */
export const listings: readonly Listing[] = names.map(([symbol, name, close, volatility], rank) => ({
  ...{ symbol, name, close },
  share: weight(rank) / weights,
  volatility: volatility / 10_000,
}))

/** What a trade is worth on average. */
export const tradeValue = 2_400

/** What the workflow reads of each symbol as `$vars.symbols`: its name, its last close, and what is usually traded of it in a second. */
export function symbolTable(
  perSecond: number,
): Readonly<Record<string, { readonly name: string; readonly close: number; readonly usual: number }>> {
  return Object.fromEntries(
    listings.map(({ symbol, name, close, share }) => [symbol, { name, close, usual: share * perSecond * tradeValue }]),
  )
}
