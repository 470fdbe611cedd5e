export type { Catalogue } from './catalogue.ts'
export { createCatalogue } from './catalogue.ts'
export type { CompileOptions } from './compile/compile.ts'
export { compile } from './compile/compile.ts'
export type {
  AnyDefinition,
  Definition,
  Example,
  Expression,
  Face,
  Kernel,
  NodeContext,
  NodeType,
  SinkWriter,
  Source,
  TriggerContext,
} from './define.ts'
export { define, defineVersions, expression, startExpression } from './define.ts'
export type { Document, Settings } from './document/document.ts'
export { parse } from './document/parse.ts'
export type { Plan } from './document/plan.ts'
export { plan, validate } from './document/plan.ts'
export { planText } from './document/plan-text.ts'
export type { Failure } from './flow/failure.ts'
export { NodeError } from './flow/failure.ts'
export type { Key, Message, Meta } from './flow/message.ts'
export { message } from './flow/message.ts'
export type { Clock, Host } from './host.ts'
export type { Execution, Outcome, Pipeline } from './pipeline.ts'
export type { Problem, Result } from './problem.ts'
export { formatProblem } from './problem.ts'
