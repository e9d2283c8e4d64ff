/** Who changed what. */

export interface AuditRecord {
  time: number;
  /** Token id, `admin`, or `hearth`. */
  actor: string;
  action: string;
  subject: string;
  detail: Record<string, unknown>;
}

export interface AuditStore {
  append(record: AuditRecord): Promise<void>;
  /** Newest first; `before` is a time. */
  list(options: { most: number; before: number | null }): Promise<AuditRecord[]>;
}
