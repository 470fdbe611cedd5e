/** Every bound of the expression language. Sizes are in UTF-16 code units or items; fuel is in steps of about a nanosecond. */
export const limits = Object.freeze({
  /** One `{{ … }}`, without the braces. */
  expressionCharsMax: 10_000,
  /** A whole config string with expressions in it. */
  textCharsMax: 1_000_000,
  /** `{{ … }}` parts in one config string. */
  partsMax: 1_000,
  /** Syntax levels inside each other. */
  depthMax: 100,
  /** Text that a value-making method, a join or an addition may produce. */
  producedCharsMax: 1_048_576,
  /** Items of a list that a method may produce. */
  producedItemsMax: 1_000_000,
  /** Text that a method may be called on. */
  receiverCharsMax: 16_777_216,
  /** Levels of a value that is measured, converted or copied. */
  valueDepthMax: 500,
  regexCharsMax: 200,
  /** Text that a pattern may be run on, by how its worst case grows: linear, quadratic, cubic, to the fourth. */
  regexInputCharsMax: [65_536, 65_536, 16_384, 900, 200] as readonly number[],
  /** Formats and date texts that are handed to the date library. */
  dateTextCharsMax: 256,
  /** Arguments of one call, spread ones included. */
  argumentsMax: 50_000,
  /** What one evaluation may do when it contains a callback or a value-making method. */
  fuelMax: 20_000_000,
  /** Longer literals enter generated code by reference, not as text. */
  inlineLiteralCharsMax: 64,
  /** Text additions that need no check, since they cannot grow a text by more than this factor. */
  uncheckedAdditionsMax: 32,
  /** How many times over a value may appear in a result before the result is measured. */
  amplificationMax: 64,
})
