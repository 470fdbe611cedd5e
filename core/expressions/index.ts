export { describeIr } from './describe.ts'
export { compileExpression, evaluate } from './evaluate.ts'
export { explainFailure } from './explain.ts'
export type { FunctionSpec } from './functions.ts'
export { functions } from './functions.ts'
export type {
  BatchInput,
  BinaryOperator,
  ExpressionInput,
  ExpressionIr,
  ExpressionScope,
  Ir,
  IrEntry,
  IrItem,
  Root,
  UnaryOperator,
} from './ir.ts'
export { irVersion } from './ir.ts'
export { limits } from './limits.ts'
export type { Cost, Kind, MethodSpec } from './methods.ts'
export { methods } from './methods.ts'
export { containsExpression, parseExpression } from './parse.ts'
export type { ExpressionWriter } from './text.ts'
export { expressionText } from './text.ts'
