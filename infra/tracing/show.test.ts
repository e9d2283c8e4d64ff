import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drawTrace, type Span } from './show.ts';

function span(name: string, parent: string | null, startTime: number, duration: number, tags = {}): Span {
  return {
    spanID: name,
    operationName: name,
    references: parent === null ? [] : [{ refType: 'CHILD_OF', spanID: parent }],
    startTime,
    duration,
    tags: Object.entries(tags).map(([key, value]) => ({ key, value })),
  };
}

test('children stand below their parents in order of time, with bars where they were', () => {
  const server = { 'span.kind': 'server', 'faas.trigger': 'http', 'faas.name': 'hi', 'faas.coldstart': true };
  const spans = [
    span('invoke', 'GET /hi', 3000, 1000),
    span('compile', 'load', 2000, 1000),
    span('load', 'GET /hi', 1000, 2000),
    span('GET /hi', 'a span of the caller, elsewhere', 0, 4000, server),
  ];
  assert.deepEqual(drawTrace(spans).split('\n'), [
    `GET /hi         4.000 ms  ${'█'.repeat(40)}  hi, http, cold`,
    `  load          2.000 ms  ${' '.repeat(10)}${'█'.repeat(20)}`,
    `    compile     1.000 ms  ${' '.repeat(20)}${'█'.repeat(10)}`,
    `  invoke        1.000 ms  ${' '.repeat(30)}${'█'.repeat(10)}`,
  ]);
});

test('a span of no length is still seen, also at the very end', () => {
  const lines = drawTrace([span('whole', null, 0, 1000), span('nothing', 'whole', 1000, 0)]).split('\n');
  assert.equal(lines[1], `  nothing     0.000 ms  ${' '.repeat(39)}█`);
});
