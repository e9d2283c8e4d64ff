/** Which of a function's versions serves a call: the traffic setting, as the API takes it and the store keeps it. */
import { z } from 'zod';

const MOST_ARMS = 50;
const MOST_RULES = 100;
/** Percent are sums of what people write: 33.3 three times is meant to be all. */
const ROUNDING = 0.2;

const valueSchema = z.string().max(4096);
const headerName = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/, 'This is not the name of a header.')
  .transform((name) => name.toLowerCase());
const plainName = z.string().min(1).max(256);
const pointerSchema = z
  .string()
  .max(1024)
  .regex(/^(\/([^~/]|~[01])*)*$/, 'A JSON pointer begins with "/", such as "/user/id".');
const scalarSchema = z.union([z.string().max(4096), z.number(), z.boolean(), z.null()]);

/** A name that is none is told as such, not as a key of a record. */
const named = {
  error: (issue: z.core.$ZodRawIssue) => (issue.code === 'invalid_key' ? issue.issues[0]?.message : undefined),
};

/** All that is named must be so: names to values. `json`: pointers (RFC 6901) into the body. */
export const whenSchema = z
  .strictObject({
    header: z.record(headerName, valueSchema, named).optional(),
    cookie: z.record(plainName, valueSchema, named).optional(),
    query: z.record(plainName, valueSchema, named).optional(),
    json: z.record(pointerSchema, scalarSchema, named).optional(),
  })
  .refine(
    (when) => Object.values(when).some((part) => part !== undefined && Object.keys(part).length > 0),
    'A condition names at least one header, cookie, query parameter or field of the body.',
  );
export type When = z.output<typeof whenSchema>;

export const stickySchema = z.union(
  [
    z.strictObject({ header: headerName }),
    z.strictObject({ cookie: plainName }),
    z.strictObject({ query: plainName }),
    z.strictObject({ json: pointerSchema }),
  ],
  { error: 'stickyBy is one of {header}, {cookie}, {query} and {json}.' },
);
export type StickyBy = z.output<typeof stickySchema>;

const versionSchema = z.string().min(1).max(128);

export const trafficSchema = z
  .strictObject({
    split: z
      .array(z.strictObject({ version: versionSchema, percent: z.number().min(0).max(100) }))
      .min(1)
      .max(MOST_ARMS),
    /** The first that matches decides, before the split. */
    rules: z
      .array(z.strictObject({ when: whenSchema, version: versionSchema }))
      .max(MOST_RULES)
      .optional(),
    /** Who sends the same value always gets the same version, and keeps it while that version's share grows. */
    stickyBy: stickySchema.optional(),
  })
  .superRefine(({ split }, context) => {
    const sum = split.reduce((total, { percent }) => total + percent, 0);
    if (Math.abs(sum - 100) > ROUNDING) {
      context.addIssue({ code: 'custom', path: ['split'], message: `The percent add up to ${sum}, not to 100.` });
    }
    if (new Set(split.map(({ version }) => version)).size < split.length) {
      context.addIssue({ code: 'custom', path: ['split'], message: 'A version stands in the split once.' });
    }
  });
export type Traffic = z.output<typeof trafficSchema>;

/** Every version that a setting names, each once, those of the split first. */
export function versionsOf({ split, rules = [] }: Traffic): string[] {
  return [...new Set([...split.map(({ version }) => version), ...rules.map(({ version }) => version)])];
}
