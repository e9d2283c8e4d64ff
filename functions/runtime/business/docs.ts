/** Documentation out of the same schemas that validate: as JSON Schema, and as Markdown for people. */
import type { Business } from './business.ts';
import type { Flow, FlowStep } from './flow.ts';
import type { ExtensionPoint } from './points.ts';
import type { Schema } from './schema.ts';

type JsonSchema = Record<string, unknown>;

export interface PointDescription {
  name: string;
  description: string;
  input: JsonSchema;
  output: JsonSchema;
}

export interface StepDescription {
  name: string;
  point: string;
  /** Null: chosen at run time. */
  component: string | null;
  from: string | null;
  conditional: boolean;
  optional: boolean;
  attempts: number;
  timeoutMs: number;
}

export interface FlowDescription {
  name: string;
  description: string;
  /** Steps of one row run beside each other. */
  parts: StepDescription[][];
}

export interface BusinessDescription {
  name: string;
  description: string;
  input: JsonSchema;
  output: JsonSchema;
  templates: Record<string, FlowDescription>;
  points: PointDescription[];
}

export function describePoints(points: readonly ExtensionPoint[]): PointDescription[] {
  return points.map(({ name, description, input, output }) => ({
    name,
    description,
    input: jsonSchema(input, 'input'),
    output: jsonSchema(output, 'output'),
  }));
}

export function describeBusiness({ name, description, input, output, templates }: Business): BusinessDescription {
  const flows = [...templates.values()];
  const points = flows.flatMap((flow) => flow.parts.flat().map(({ point }) => [point.name, point] as const));
  return {
    name,
    description,
    input: jsonSchema(input, 'input'),
    output: jsonSchema(output, 'output'),
    templates: Object.fromEntries([...templates].map(([key, flow]) => [key, describeFlow(flow)])),
    points: describePoints([...new Map(points).values()]),
  };
}

function describeFlow({ name, description, parts }: Flow): FlowDescription {
  return { name, description, parts: parts.map((part) => part.map(describeStep)) };
}

function describeStep(step: FlowStep): StepDescription {
  const { name, point, component, from, when, optional, retry, timeoutMs } = step;
  const known = typeof component === 'string' ? component : typeof component === 'object' ? component.name : null;
  return {
    name,
    point: point.name,
    component: known,
    from,
    conditional: when !== null,
    optional,
    attempts: retry.attempts,
    timeoutMs,
  };
}

/** By Standard JSON Schema. A schema that does not offer it is described as anything. */
function jsonSchema(schema: Schema, side: 'input' | 'output'): JsonSchema {
  const { vendor, jsonSchema: converter } = schema['~standard'];
  if (converter === undefined) return { $comment: `${vendor} gives no JSON Schema` };
  try {
    return converter[side]({ target: 'draft-2020-12' });
  } catch (error) {
    // What JSON cannot say, such as a transformation into a class.
    return { $comment: `${vendor}: ${error instanceof Error ? error.message : String(error)}` };
  }
}

export function renderMarkdown(business: BusinessDescription): string {
  const { name, description, templates, points } = business;
  const lines = [`# ${name}`, '', ...paragraph(description)];
  lines.push('## Request', '', ...fields(business.input), '## Answer', '', ...fields(business.output));
  for (const [key, flow] of Object.entries(templates)) {
    lines.push(`## Template \`${key}\`: ${flow.name}`, '', ...paragraph(flow.description));
    lines.push(...flow.parts.map((part, index) => `${index + 1}. ${part.map(stepText).join(', beside ')}`), '');
  }
  for (const point of points) {
    lines.push(`## Extension point \`${point.name}\``, '', ...paragraph(point.description));
    lines.push('Input:', '', ...fields(point.input), 'Output:', '', ...fields(point.output));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function paragraph(text: string): string[] {
  return text === '' ? [] : [text, ''];
}

function stepText({
  name,
  point,
  component,
  from,
  conditional,
  optional,
  attempts,
  timeoutMs,
}: StepDescription): string {
  const who = component === null ? 'a component chosen at run time' : `\`${component}\``;
  const where = from === null ? '' : ` of \`${from}\``;
  const how = [
    ...(conditional ? ['on a condition'] : []),
    ...(optional ? ['may fail'] : []),
    ...(attempts > 1 ? [`up to ${attempts} attempts`] : []),
    `${timeoutMs} ms each`,
  ].join(', ');
  return `**${name}**: ${point} by ${who}${where} (${how})`;
}

/** A table of an object's fields, nested ones by their paths. */
function fields(schema: JsonSchema): string[] {
  const rows = fieldRows(schema, '');
  if (rows.length === 0) return [`\`${typeText(schema)}\``, ''];
  return ['| field | type | required | meaning |', '| --- | --- | --- | --- |', ...rows, ''];
}

/** Deeper than this a table explains nothing. */
const MOST_DEPTH = 4;

function fieldRows(schema: JsonSchema, prefix: string, depth = 0): string[] {
  const properties = (schema.properties ?? {}) as Record<string, JsonSchema>;
  const required = new Set((schema.required ?? []) as string[]);
  return Object.entries(properties).flatMap(([key, field]) => {
    const path = `${prefix}${key}`;
    const meaning = cell(typeof field.description === 'string' ? field.description : '');
    const row = `| \`${path}\` | ${cell(typeText(field))} | ${required.has(key) ? 'yes' : 'no'} | ${meaning} |`;
    const items = field.items as JsonSchema | undefined;
    if (depth >= MOST_DEPTH) return [row];
    if (items?.properties !== undefined) return [row, ...fieldRows(items, `${path}[].`, depth + 1)];
    return [row, ...fieldRows(field, `${path}.`, depth + 1)];
  });
}

/** `string (email, at most 80 long)`, `"a" or "b"`, `number[]`. */
function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const any = (schema.anyOf ?? schema.oneOf) as JsonSchema[] | undefined;
  if (any !== undefined) return any.map(typeText).join(' or ');
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : String(schema.type ?? 'anything');
  const base = type === 'array' ? `${typeText((schema.items ?? {}) as JsonSchema)}[]` : type;
  const limits = LIMITS.flatMap(([key, say]) => (schema[key] === undefined ? [] : [say(String(schema[key]))]));
  return limits.length === 0 ? base : `${base} (${limits.join(', ')})`;
}

const LIMITS: [key: string, say: (value: string) => string][] = [
  ['format', (value) => value],
  ['minimum', (value) => `at least ${value}`],
  ['exclusiveMinimum', (value) => `more than ${value}`],
  ['maximum', (value) => `at most ${value}`],
  ['exclusiveMaximum', (value) => `less than ${value}`],
  ['minLength', (value) => `at least ${value} long`],
  ['maxLength', (value) => `at most ${value} long`],
  ['minItems', (value) => `at least ${value} of them`],
  ['maxItems', (value) => `at most ${value} of them`],
  ['pattern', (value) => `like ${value}`],
];

/** A table's cell holds no line ends, and no bars of its own. */
function cell(text: string): string {
  return text.replaceAll('\n', ' ').replaceAll('|', '\\|');
}
