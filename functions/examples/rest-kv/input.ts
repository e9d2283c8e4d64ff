/** Input the caller has to mend; the message is shown to them. */
export class BadInput extends Error {}

export interface NewLink {
  url: string;
  slug?: string;
  expiresInSeconds?: number;
}

export function parseNewLink(body: unknown): NewLink {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new BadInput('send a JSON object such as {"url": "https://example.com"}');
  }
  const { url, slug, expiresInSeconds } = body as Record<string, unknown>;

  const parsed = typeof url === 'string' ? URL.parse(url) : null;
  // Anything else, javascript: above all, has no place in a redirect.
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) {
    throw new BadInput('url: an http or https address is needed');
  }
  const link: NewLink = { url: parsed.href };

  if (slug !== undefined) {
    if (typeof slug !== 'string' || !/^[a-z0-9-]{3,40}$/.test(slug) || slug === 'links') {
      throw new BadInput('slug: 3 to 40 letters, digits and dashes in lower case, and not "links"');
    }
    link.slug = slug;
  }
  if (expiresInSeconds !== undefined) {
    if (!Number.isInteger(expiresInSeconds) || Number(expiresInSeconds) < 60) {
      throw new BadInput('expiresInSeconds: a whole number, 60 or more');
    }
    link.expiresInSeconds = Number(expiresInSeconds);
  }
  return link;
}

export function parseLimit(text: string | undefined): number {
  if (text === undefined) return 20;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 100) throw new BadInput('limit: a whole number from 1 to 100');
  return limit;
}
