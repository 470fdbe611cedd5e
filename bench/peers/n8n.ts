import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** Evaluates an n8n expression over one item, as n8n does for a node's parameter. */
export function n8nExpression(expression: string, json: unknown): () => unknown {
  // n8n-workflow is not typed for use outside n8n; only these two of its members are used.
  const { Workflow }: { readonly Workflow: new (parameters: object) => N8nWorkflow } = require('n8n-workflow')
  const type = {
    description: {
      displayName: 'Set',
      name: 'set',
      group: ['input'],
      version: 1,
      description: '',
      defaults: { name: 'Set' },
      inputs: ['main'],
      outputs: ['main'],
      properties: [],
    },
  }
  const workflow = new Workflow({
    id: '1',
    nodes: [{ id: '1', name: 'node', typeVersion: 1, type: 'test.set', position: [0, 0], parameters: {} }],
    connections: {},
    active: false,
    nodeTypes: { getByName: () => type, getByNameAndVersion: () => type, getKnownTypes: () => ({}) },
  })
  const items = [{ json }]
  return () => workflow.expression.getParameterValue(`=${expression}`, null, 0, 0, 'node', items, 'manual', {})
}

interface N8nWorkflow {
  readonly expression: {
    getParameterValue(
      value: string,
      run: null,
      runIndex: number,
      itemIndex: number,
      node: string,
      items: object[],
      mode: string,
      keys: object,
    ): unknown
  }
}
