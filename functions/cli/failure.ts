/** What ends a command with exit code 1 or 2, and how a person and a script are told: what failed, where, what to do. */
import { ERRORS, HearthError, isErrorCode, type Problem, toProblem } from '../contract/errors.ts';

/** The command failed: exit code 1. */
export class Failure extends Error {
  override name = 'Failure';
  /** What to do about it, as a sentence. */
  readonly next: string | null;

  constructor(message: string, next: string | null = null, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.next = next;
  }
}

/** It was not called as it has to be: exit code 2. */
export class UsageError extends Failure {
  override name = 'UsageError';
}

/** The control API refused: exit code 1. */
export class ApiFailure extends Failure {
  override name = 'ApiFailure';
  readonly problem: Problem;

  /** `next` replaces what the error table advises. */
  constructor(problem: Problem, next: string | null = null) {
    const { what, advice } = apart(problem);
    super(what, next ?? inCommands(problem) ?? advice);
    this.problem = problem;
  }
}

/** Where the table speaks of calls of the API, and a command does it. */
function inCommands({ code, instance }: Problem): string | null {
  switch (code) {
    case 'NOT_FOUND':
      return 'What there is: hearth ls, hearth versions NAME, hearth publish, hearth cron, hearth queue, hearth token ls.';
    case 'BAD_REQUEST':
      return 'Mend what is named here; the command with --help says what it takes.';
    case 'FUNCTION_EXCEPTION':
      return instance === undefined ? null : `Read its log: hearth logs NAME --invocation ${invocationOf(instance)}`;
    default:
      return null;
  }
}

function invocationOf(instance: string): string {
  return instance.slice('/v1/invocations/'.length);
}

/** The detail of a problem ends in the advice of the error table; here they are told on lines of their own. */
function apart({ code, detail }: Problem): { what: string; advice: string | null } {
  const advice = isErrorCode(code) ? ERRORS[code].advice : null;
  if (advice === null || !detail.endsWith(advice)) return { what: detail, advice: null };
  return { what: detail.slice(0, -advice.length).trim(), advice };
}

export interface Told {
  exitCode: 1 | 2;
  /** Lines for a person. */
  text: string;
  /** With --json, on one line. */
  json: Record<string, unknown>;
}

/** `command`: as it was called, such as `hearth deploy`. What is no Failure is a defect, and is told with its stack. */
export function tell(thrown: unknown, command: string): Told {
  const failure = asFailure(thrown);
  const exitCode = failure instanceof UsageError ? 2 : 1;
  const { message, next } = failure;
  if (!(failure instanceof ApiFailure)) {
    const code = exitCode === 2 ? 'USAGE' : 'FAILED';
    const lines = [`${command}: ${message}`, ...(next === null ? [] : [`  → ${next}`])];
    return { exitCode, text: lines.join('\n'), json: { code, detail: [message, next ?? ''].join(' ').trim() } };
  }
  const { problem } = failure;
  const errors = problem.errors ?? [];
  // Of one error the detail is mostly that error again.
  const said = errors.some((error) => message.includes(error.message.replace(/\.$/, '')));
  const lines = [
    `${command}: ${problem.title} (${problem.code})`,
    ...(said ? [] : [`  ${message}`]),
    ...errors.map((error) => `  ${placeOf(error)}${error.message}`),
    ...(problem.instance === undefined ? [] : [`  invocation ${invocationOf(problem.instance)}`]),
    ...(next === null ? [] : [`  → ${next}`]),
  ];
  return { exitCode, text: lines.join('\n'), json: { ...problem } };
}

function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown;
  // A manifest is read here with the code that the gateway reads it with, and fails in the same way.
  if (thrown instanceof HearthError) return new ApiFailure(toProblem(thrown));
  return new Failure(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
}

/** `src/index.ts:3:9: `, or as much of it as there is. */
function placeOf({ file, line, column, path }: NonNullable<Problem['errors']>[number]): string {
  const parts = [file, line, column].filter((part) => part !== undefined);
  if (parts.length === 0) return path === undefined || path === '' ? '' : `${path}: `;
  return `${parts.join(':')}: `;
}
