/** The tag that a request carries: which of several publications of one route, and which split of one, it is for. */
import type { HeaderList } from '../../functions/contract/invocation.ts';
import { TAG_HEADER, TAG_QUERY } from '../../functions/contract/publication.ts';

/** What of a request may carry a tag. Looked at only where a tag decides anything. */
export interface Tagged {
  /** Names in lower case. */
  readonly headers: HeaderList;
  /** With its leading `?`, or empty. */
  readonly query: string;
}

/** Null: none. The header goes before the query. */
export function tagOf(request: Tagged | null): string | null {
  if (request === null) return null;
  for (const [name, value] of request.headers) if (name === TAG_HEADER && value !== '') return value;
  if (!request.query.includes(TAG_QUERY)) return null;
  const value = new URLSearchParams(request.query).get(TAG_QUERY);
  return value === '' ? null : value;
}
