import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkRoute } from './routes.ts';

describe('route patterns', () => {
  for (const [written, canonical] of [
    ['example.com/api/*', 'example.com/api/*'],
    ['example.com', 'example.com'],
    ['Example.COM/Api', 'example.com/Api'],
    ['*/shop/*', '*/shop/*'],
    ['/shop/*', '*/shop/*'],
    ['*.example.com/*', '*.example.com/*'],
    ['*example.com/*', '*example.com/*'],
    ['*/*', '*/*'],
    ['bücher.example/*', 'xn--bcher-kva.example/*'],
    ['127.0.0.1/x', '127.0.0.1/x'],
  ] as const) {
    it(`reads "${written}" as "${canonical}"`, () => {
      assert.deepEqual(checkRoute(written), { pattern: canonical, problem: null });
    });
  }

  for (const [written, says] of [
    ['', /is empty/],
    ['https://example.com/*', /has a scheme/],
    ['example.com:8080/*', /has a port/],
    ['exa*mple.com/*', /\* inside the host/],
    ['example.*/x', /\* inside the host/],
    ['**.example.com/', /\* inside the host/],
    ['example.com/*/edit', /\* inside the path/],
    ['example.com/**', /\* inside the path/],
    ['example.com/x?y=1', /query/],
    ['exa mple.com/', /white space/],
    ['-example-.com/', /no valid host/],
    ['example..com/', /no valid host/],
    ['*./x', /no valid host/],
    [`${'a'.repeat(64)}.com/`, /no valid host/],
  ] as const) {
    it(`refuses "${written.slice(0, 30)}" with a sentence`, () => {
      assert.match(checkRoute(written).problem ?? 'accepted', says);
    });
  }
});
