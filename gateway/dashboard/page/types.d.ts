/** What the control API answers, as far as the page shows it; and what views and the page are to each other. */
import type { TemplateResult } from 'lit-html';
import type { Api } from './api.js';

export type Rendered = unknown;
export type { TemplateResult };

/** What a view may do with the page it stands in. */
export interface Page {
  readonly api: Api;
  /** Aborted when another view takes the place of this one. */
  readonly signal: AbortSignal;
  /** Renders again, soon. */
  update(): void;
  /** Calls at once and then every so many ms, one after another, while somebody looks. What it throws is shown. */
  every(ms: number, load: () => Promise<void>): void;
  /** Does what a person asked for: its failure is shown, its success told, unless there is nothing to say (''). Resolves whether it went well. */
  act(done: string, action: () => Promise<unknown>): Promise<boolean>;
  /** Asks first; resolves false when it was called off. */
  confirm(question: string, detail: string, verb: string): Promise<boolean>;
  go(path: string): void;
  readonly busy: boolean;
}

export interface View {
  title: string;
  render(): Rendered;
}

export interface Problem {
  code: string;
  status: number;
  detail: string;
  errors: { message: string; file?: string; line?: number; column?: number; path?: string }[];
}

export interface Split {
  version: string;
  percent: number;
}

export interface Traffic {
  split: Split[];
  rules?: { when: unknown; version: string }[];
  stickyBy?: unknown;
}

export interface FunctionInfo {
  name: string;
  state: 'active' | 'inactive';
  version: string | null;
  traffic: Traffic | null;
  url: string;
  published: boolean;
  base: string | null;
  trustGroup: string | null;
  routes: string[];
  crons: string[];
  queues: { consumes: string[]; produces: string[] };
  handlers: string[];
  versions: number;
  createdAt: string;
  updatedAt: string;
}

export interface Figures {
  name: string;
  spanSeconds: number;
  calls: number;
  errors: number;
  timeouts: number;
  coldStarts: number;
  p50Ms: number | null;
  p95Ms: number | null;
  p99Ms: number | null;
}

export interface FiguresRow extends Figures {
  callsByStep: number[];
}

export interface FigureStep {
  at: string;
  calls: number;
  errors: number;
  coldStarts: number;
  p95Ms: number | null;
}

export interface OneFigures extends Figures {
  steps: FigureStep[];
}

export interface Version {
  version: string;
  active: boolean;
  percent: number;
  handlers: string[];
  sizeBytes: number;
  provided: { library: string; version: string }[];
  createdAt: string;
}

export interface Invocation {
  id: string;
  function: string;
  version: string | null;
  trigger: string;
  state: string;
  startedAt: string | null;
  endedAt: string | null;
  attempts: number;
  traceId: string | null;
  start: 'cold' | 'warm' | null;
  instance: string | null;
  phases: Record<string, number> | null;
  status: number | null;
  error: { code: string; message: string } | null;
}

export interface LogLine {
  time: string;
  level: string;
  version: string;
  instance: string;
  invocationId: string | null;
  message: string;
}

export interface RolloutArm {
  requests: number;
  errors: number;
  p95Ms: number | null;
  coldStarts: number;
}

export interface Rollout {
  id: string;
  state: string;
  step: number;
  percent: number;
  why: string | null;
  steps: { percent: number; beta: unknown; pauseSeconds: number; confirm: boolean }[];
  functions: { name: string; version: string; figures: { new: RolloutArm; old: RolloutArm } | null }[];
  createdBy: string;
  createdAt: string;
  endedAt: string | null;
}

export interface Publication {
  name: string;
  function: string;
  routes: string[];
  byName: boolean;
  crons: string[];
  queues: string[];
  tag: string | null;
  implied: boolean;
}

export interface PoolBase {
  id: string;
  state: string;
  function: string | null;
  version: string | null;
  inFlight: number;
  group?: string;
  modules?: { function: string; version: string; inFlight: number }[];
}

export interface PoolHost {
  id: string;
  pid: number | null;
  base: string;
  generation: number;
  pool: string;
  lentBy: string | null;
  trustGroup: string | null;
  network: string | null;
  state: string;
  memoryBytes: number | null;
  bases: PoolBase[];
}

export interface Pool {
  hosts: PoolHost[];
  bases: Record<string, number>;
  stock: { pool: string; base: string; warm: number; target: number }[];
  pools: {
    name: string;
    maxBases: number;
    memoryMb: number;
    usedMb: number;
    pressure: string;
    hosts: number;
    bases: Record<string, number>;
    waiting: number;
  }[];
  waiting: number;
}

export interface PoolEvent {
  time: string;
  subject: string;
  id: string;
  what: string;
  why: string;
  function?: string;
}

export interface Cron {
  id: string;
  function: string;
  expression: string;
  timezone: string;
  paused: boolean;
  nextAt: string | null;
  running: number;
  last: { dueAt: string; startedAt: string; lateMs: number; outcome: string; error: string | null } | null;
}

export interface Queue {
  name: string;
  consumer: string | null;
  settings: { paused: boolean; maxRetries: number; deadLetterQueue: string };
  depth: number;
  delayed: number;
  inFlight: number;
  oldestAgeMs: number | null;
  dead: number;
}

export interface DeadMessage {
  id: string;
  body: unknown;
  contentType: string;
  diedAt: string;
  attempts: number;
  reason: string;
}

export interface Token {
  id: string;
  scopes: string[];
  trustGroups: string[];
  routes: string[];
  createdAt: string;
}

export interface AuditRecord {
  time: string;
  actor: string;
  action: string;
  subject: string;
  detail: Record<string, unknown>;
}
