/**
 * What this library asks of a schema: the Standard Schema interface, which zod, Valibot and ArkType implement. So a base
 * carries no validator of its own, and a team may choose one.
 */
export interface Schema<In = unknown, Out = In> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: In; readonly output: Out } | undefined;
    readonly validate: (value: unknown) => Checked<Out> | Promise<Checked<Out>>;
    /** Standard JSON Schema, which zod has: what documentation is rendered from. */
    readonly jsonSchema?: {
      readonly input: (options: { readonly target: string }) => Record<string, unknown>;
      readonly output: (options: { readonly target: string }) => Record<string, unknown>;
    };
  };
}

type Checked<Out> = { readonly value: Out; readonly issues?: undefined } | { readonly issues: readonly RawIssue[] };

interface RawIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What may be given to the schema. */
export type InputOf<S extends Schema> = NonNullable<S['~standard']['types']>['input'];
/** What it makes of it. */
export type OutputOf<S extends Schema> = NonNullable<S['~standard']['types']>['output'];

/** One thing that is wrong. `field` is a path such as `members.0.email`; empty for the whole value. */
export interface Issue {
  field: string;
  message: string;
}

export type Verdict<Out> = { ok: true; value: Out } | { ok: false; issues: Issue[] };

/** Issues beyond these say nothing new, and one value may have thousands. */
const MOST_ISSUES = 20;

export async function check<S extends Schema>(schema: S, value: unknown): Promise<Verdict<OutputOf<S>>> {
  const checked = await schema['~standard'].validate(value);
  if (checked.issues === undefined) return { ok: true, value: checked.value as OutputOf<S> };
  const issues = checked.issues.slice(0, MOST_ISSUES).map(({ message, path = [] }) => ({
    field: path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
    message,
  }));
  return { ok: false, issues };
}

const NAME = /^[a-z][a-z0-9-]{0,62}$/;

/** Names stand in paths, spans and error texts. Throws TypeError. */
export function requireName(what: string, name: string): void {
  if (NAME.test(name)) return;
  throw new TypeError(
    `${what} ${JSON.stringify(name)}: a name is a–z, 0–9 and -, begins with a letter, at most 63 long.`,
  );
}
