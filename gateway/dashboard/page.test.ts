/** What of the page needs no browser: how text, figures, splits and events are taken apart. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';

interface Split {
  version: string;
  percent: number;
}

/** The page's modules are checked by a configuration of their own: here they are whatever is asked for. */
function load<Module>(name: string): Promise<Module> {
  return import(new URL(`./page/${name}`, import.meta.url).href);
}

const { pieces, plain } = await load<{
  pieces(text: string): { text: string; code: boolean }[];
  plain(value: unknown): string;
}>('unseen.js');
const { rebalance } = await load<{ rebalance(split: Split[], version: string, wanted: number): Split[] }>('split.js');
const { eventParser } = await load<{
  eventParser(onEvent: (event: string, data: string) => void): (text: string) => void;
}>('events.js');
const format = await load<{
  duration(ms: number | null): string;
  percent(part: number, whole: number): string;
  rate(value: number): string;
  bytes(value: number | null): string;
}>('format.js');

describe('text of others', () => {
  test('is cut where characters are that nobody sees; they are told by their code', () => {
    assert.deepEqual(pieces('a\u202eb\u0007'), [
      { text: 'a', code: false },
      { text: '\\u202e', code: true },
      { text: 'b', code: false },
      { text: '\\x07', code: true },
    ]);
    assert.equal(plain('\u{e0041}\u3164\ufeff\u2066'), '\\u{e0041}\\u3164\\ufeff\\u2066');
    assert.equal(plain('\ud800'), '\\ud800');
  });

  test('stays as it is when it is plain: lines, tabs, other scripts, pictures', () => {
    for (const text of ['', 'two\nlines\tand a tab', 'žluťoučký שלום 你好 🔥']) {
      assert.deepEqual(pieces(text), text === '' ? [] : [{ text, code: false }]);
    }
  });

  test('has no such character left, whatever it was', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.doesNotMatch(plain(text), /(?![\n\t])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      }),
    );
  });
});

describe('a split', () => {
  const split = (...percents: number[]) => percents.map((percent, at) => ({ version: `v${at}`, percent }));
  const percents = (of: Split[]) => of.map(({ percent }) => percent);

  test('gives what is left to the others, in proportion to what they have', () => {
    assert.deepEqual(percents(rebalance(split(100, 0), 'v1', 30)), [70, 30]);
    assert.deepEqual(percents(rebalance(split(60, 30, 10), 'v2', 40)), [40, 20, 40]);
    assert.deepEqual(percents(rebalance(split(0, 0, 100), 'v2', 50)), [25, 25, 50]);
  });

  test('of one version is all of it', () => {
    assert.deepEqual(percents(rebalance(split(40), 'v0', 10)), [100]);
  });

  test('has whole percents that add up to 100, whatever is asked for', () => {
    const arms = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(arms, fc.nat(19), fc.double(), (given, at, wanted) => {
        const moved = percents(rebalance(split(...given), `v${at % given.length}`, wanted));
        assert.equal(
          moved.reduce((sum, percent) => sum + percent, 0),
          100,
        );
        assert.ok(moved.every((percent) => Number.isInteger(percent) && percent >= 0));
      }),
    );
  });
});

describe('a stream of events', () => {
  const TEXT =
    'event: line\ndata: {"a":1}\n\n: a comment\nid: 3\ndata: one\ndata: two\r\n\r\nevent: line\ndata:\n\nevent: x\n\n';
  const EVENTS = [
    ['line', '{"a":1}'],
    ['message', 'one\ntwo'],
    ['line', ''],
  ];

  test('is the same in whatever pieces it comes', () => {
    for (let size = 1; size <= TEXT.length; size++) {
      const found: string[][] = [];
      const parse = eventParser((event, data) => found.push([event, data]));
      for (let at = 0; at < TEXT.length; at += size) parse(TEXT.slice(at, at + size));
      assert.deepEqual(found, EVENTS, `in pieces of ${size}`);
    }
  });

  test('says nothing of an event that has not ended', () => {
    const parse = eventParser(() => assert.fail('no event'));
    parse('event: line\ndata: {"a":1}\n');
  });
});

test('figures are as exact as they are of use', () => {
  const { duration, percent, rate, bytes } = format;
  assert.deepEqual([null, 0, 0.123, 4.56, 123.4, 1234, 60_000].map(duration), [
    '–',
    '0 ms',
    '0.12 ms',
    '4.6 ms',
    '123 ms',
    '1.23 s',
    '60.0 s',
  ]);
  assert.deepEqual(
    [percent(0, 0), percent(0, 9), percent(1, 5000), percent(1, 30), percent(1, 2)],
    ['–', '0 %', '< 0.1 %', '3.3 %', '50 %'],
  );
  assert.deepEqual([0, 0.01, 3.21, 1234.5].map(rate), ['0', '< 0.1', '3.2', '1,235']);
  assert.deepEqual([null, 12, 2048, 5 * 1024 * 1024].map(bytes), ['–', '12 B', '2.0 KB', '5.0 MB']);
});
