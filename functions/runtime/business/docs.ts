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
    `${timeoutMs / 1000} s each`,
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

/** `string (email)`, `"a" or "b"`, `number (at most 9)[]`, `string by key`. */
function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema.enum)) return schema.enum.map((value) => JSON.stringify(value)).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const any = (schema.anyOf ?? schema.oneOf) as JsonSchema[] | undefined;
  if (any !== undefined) return any.map(typeText).join(' or ');
  const limits = limitsOf(schema);
  const text = `${kindOf(schema)}${limits.length === 0 ? '' : ` (${limits.join(', ')})`}`;
  return schema.type === 'array' ? `${typeText((schema.items ?? {}) as JsonSchema)}${text}` : text;
}

function kindOf({ type, properties, additionalProperties }: JsonSchema): string {
  if (type === 'array') return '[]';
  const values = typeof additionalProperties === 'object' ? (additionalProperties as JsonSchema) : null;
  if (values !== null && properties === undefined && Object.keys(values).length > 0)
    return `${typeText(values)} by key`;
  return Array.isArray(type) ? type.join(' or ') : String(type ?? 'anything');
}

/** In words. What every integer has says nothing, and behind a format stands a pattern that nobody reads. */
function limitsOf({ format, pattern, ...schema }: JsonSchema): string[] {
  const found: string[] = [];
  if (typeof format === 'string') found.push(format);
  else if (typeof pattern === 'string') found.push(`like ${pattern}`);
  for (const { least, most, unit } of RANGES) {
    const [low, high] = [bound(schema[least]), bound(schema[most])];
    if (low !== null && low === high) found.push(`exactly ${low}${unit}`);
    else if (low !== null && high !== null) found.push(`${low} to ${high}${unit}`);
    else if (low !== null) found.push(`at least ${low}${unit}`);
    else if (high !== null) found.push(`at most ${high}${unit}`);
  }
  const { exclusiveMinimum, exclusiveMaximum } = schema;
  if (typeof exclusiveMinimum === 'number') found.push(`more than ${exclusiveMinimum}`);
  if (typeof exclusiveMaximum === 'number') found.push(`less than ${exclusiveMaximum}`);
  return found;
}

const RANGES = [
  { least: 'minimum', most: 'maximum', unit: '' },
  { least: 'minLength', most: 'maxLength', unit: ' long' },
  { least: 'minItems', most: 'maxItems', unit: ' of them' },
];

function bound(value: unknown): number | null {
  return typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER ? value : null;
}

/** A table's cell holds no line ends, and no bars of its own. */
function cell(text: string): string {
  return text.replaceAll('\n', ' ').replaceAll('|', '\\|');
}
