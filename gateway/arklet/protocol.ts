/**
 * What arklet's HTTP API says, as Koupleless' tools read and write it: each command is a POST to its own path with a JSON
 * object, answered with status 200 and `code`. Fields that mean nothing outside a JVM are left out.
 */
import { z } from 'zod';
import { HearthError } from '../../functions/contract/errors.ts';

export type ArkletCode = 'SUCCESS' | 'FAILED' | 'CMD_NOT_FOUND' | 'CMD_PROCESS_INTERNAL_ERROR';

export interface ArkletResponse {
  code: ArkletCode;
  message?: string;
  data?: unknown;
  /** Where to mend what was installed, a line each: file, line and column. Never a stack. */
  errorStackTrace?: string;
}

export type BizState = 'RESOLVED' | 'ACTIVATED' | 'DEACTIVATED' | 'BROKEN';

export interface BizInfo {
  bizName: string;
  bizVersion: string;
  bizState: BizState;
  mainClass: string;
  /** Below which path it is reached. */
  webContextPath: string;
  attributes: Record<string, string>;
  /** Always empty: arkctl reads `changeTime` of a record as a number in one version and as text in another. */
  bizStateRecords: never[];
}

/** What became of one biz. */
export interface ClientResponse {
  code: 'SUCCESS' | 'FAILED' | 'REPEAT_BIZ' | 'NOT_FOUND_BIZ' | 'ILLEGAL_STATE_BIZ';
  message: string;
  bizInfos: BizInfo[];
}

export interface BatchResponse {
  code: 'SUCCESS' | 'FAILED';
  message: string;
  bizUrlToResponse: Record<string, ClientResponse>;
}

/** Of one batchInstallBiz. */
const MOST_IN_BATCH = 1000;

const text = z
  .string()
  .nullish()
  .transform((value) => value?.trim() ?? '');
const required = (field: string) => text.refine((value) => value !== '', `${field} should not be blank`);
/** Refused, not ignored: whoever sends them relies on them. */
const ofTheJvm = (field: string) =>
  z
    .unknown()
    .optional()
    .refine(
      (value) => value === undefined || value === null || Object.keys(value).length === 0,
      `${field} are for the main method of a JVM; a function has vars and secrets`,
    );

const operation = { async: z.boolean().nullish(), requestId: text };
const namesItself = ({ async, requestId }: { async?: boolean | null | undefined; requestId: string }) =>
  async !== true || requestId !== '';
const NAMELESS = 'requestId should not be blank when async is true';
const wholeOrNone = ({ bizName, bizVersion }: { bizName: string; bizVersion: string }) =>
  (bizName === '') === (bizVersion === '');
const HALF = 'bizName and bizVersion should be both blank or both not blank';

const installFields = {
  /** Blank, with bizVersion: the bundle says it. */
  bizName: text,
  bizVersion: text,
  bizUrl: required('bizUrl'),
  args: ofTheJvm('args'),
  envs: ofTheJvm('envs'),
  installStrategy: z.enum(['installOnly', 'uninstallThenInstall']).nullish(),
};

export const inputs = {
  nothing: z.object({}),
  install: z
    .object({ ...installFields, ...operation })
    .refine(wholeOrNone, HALF)
    .refine(namesItself, NAMELESS),
  oneBiz: z
    .object({ bizName: required('bizName'), bizVersion: required('bizVersion'), ...operation })
    .refine(namesItself, NAMELESS),
  batch: z
    .object({
      bizDirAbsolutePath: text,
      bizList: z.array(z.object(installFields).refine(wholeOrNone, HALF)).max(MOST_IN_BATCH).nullish(),
      ...operation,
    })
    .refine(
      ({ bizDirAbsolutePath, bizList }) => (bizDirAbsolutePath === '') === (bizList !== undefined && bizList !== null),
      'either bizList or bizDirAbsolutePath is needed',
    )
    .refine(namesItself, NAMELESS),
  bizOps: z.object({ requestId: required('requestId') }),
  health: z.object({
    type: z.enum(['', 'system', 'biz', 'plugin']).nullish(),
    bizName: text,
    bizVersion: text,
    metrics: z.array(z.string()).nullish(),
  }),
};

export type BizToInstall = Pick<z.output<typeof inputs.install>, keyof typeof installFields>;
export type HealthInput = z.output<typeof inputs.health>;

/** Throws BAD_REQUEST with what is wrong. Keys that are not known are ignored, as arklet ignores them. */
export function parseInput<Schema extends z.ZodType>(schema: Schema, given: unknown): z.output<Schema> {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path.join('.') ?? '';
  const message = issue?.message ?? 'not valid';
  throw new HearthError('BAD_REQUEST', path === '' || issue?.code === 'custom' ? message : `${path}: ${message}`);
}

/** A failure as arklet's answer. Only what is no caller's fault becomes an internal error. */
export function failure(error: HearthError, data?: unknown): ArkletResponse {
  if (error.code === 'INTERNAL') {
    return { code: 'CMD_PROCESS_INTERNAL_ERROR', message: 'Internal Error: Hearth failed; its log says why.' };
  }
  const places = (error.errors ?? []).map(({ message, file, line, column, path }) =>
    file === undefined
      ? `${path === undefined ? '' : `${path}: `}${message}`
      : `${[file, line, column].filter((part) => part !== undefined).join(':')}: ${message}`,
  );
  return {
    code: 'FAILED',
    message: error.message,
    ...(data === undefined ? {} : { data }),
    ...(places.length === 0 ? {} : { errorStackTrace: places.join('\n') }),
  };
}
