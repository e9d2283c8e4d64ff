/** Keys that Workers projects have and that are more than one line each: module rules, static assets, version metadata. */
import { z } from 'zod';

/** Globs as wrangler takes them: `*` within a directory, `**` over several; everything else is itself. */
const MOST_RULES = 200;
const MOST_GLOBS = 200;
const globSchema = z
  .string()
  .min(1)
  .max(512)
  // More would let a pattern cost more than a file is worth.
  .refine((glob) => glob.split('*').length <= 9, 'A glob has at most eight "*".');

export const rulesSchema = z
  .array(
    z.strictObject({
      type: z.enum(['ESModule', 'CommonJS', 'Text', 'Data', 'CompiledWasm'], {
        error: 'A rule is of type ESModule, CommonJS, Text, Data or CompiledWasm.',
      }),
      globs: z.array(globSchema).min(1).max(MOST_GLOBS),
      /** Without effect: the rules of a project come first, and Hearth's own for other files always after them. */
      fallthrough: z.boolean().optional(),
    }),
  )
  .max(MOST_RULES)
  .transform((rules) => rules.map(({ type, globs }) => ({ type, globs })));
export type ModuleRule = z.output<typeof rulesSchema>[number];

const directorySchema = z
  .string()
  .max(512)
  .transform((written, context) => {
    const directory = written.replace(/^(\.\/)+/, '').replace(/\/+$/, '');
    const segments = directory.split('/');
    if (directory !== '' && directory !== '.' && !segments.some((part) => part === '' || part === '.' || part === '..'))
      return directory;
    context.addIssue({
      code: 'custom',
      message: 'The directory of assets is one below the function\'s own, such as "./public".',
    });
    return z.NEVER;
  });

const workerFirstSchema = z.union(
  [
    z.boolean(),
    z
      .array(z.string().max(512).regex(/^!?\//, 'A path that starts with "/", or with "!/" for what is left out.'))
      .min(1)
      .max(100)
      .refine((paths) => paths.some((path) => path.startsWith('/')), 'At least one path without "!".'),
  ],
  { error: 'Expected true, false, or a list of paths such as "/api/*".' },
);

export const assetsSchema = z.strictObject({
  /** In the function's tree. Absent: they were uploaded apart, as wrangler does it. */
  directory: directorySchema.optional(),
  html_handling: z
    .enum(['auto-trailing-slash', 'force-trailing-slash', 'drop-trailing-slash', 'none'])
    .default('auto-trailing-slash'),
  not_found_handling: z.enum(['single-page-application', '404-page', 'none']).default('none'),
  /** Whether the function is asked before the assets are, everywhere or under these paths. */
  run_worker_first: workerFirstSchema.default(false),
});
export type AssetSettings = z.output<typeof assetsSchema> & { binding?: string | undefined };
