/** The three forms in which a module lands on a base, as their READMEs have it, on a real gateway with their bases. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type OtlpReceiver, startOtlpReceiver } from '../../gateway/telemetry/testing/otlp-receiver.ts';
import { startGateway, type TestGateway } from '../../gateway/testing/gateway.ts';
import { deployAsJson, EXAMPLES_CONFIG, partsOf, readExample } from './testing/deploy.ts';

interface Refused {
  error: {
    code: string;
    message: string;
    step?: string;
    issues: { field: string }[];
    steps: { name: string; state: string }[];
  };
}

describe('the three landing forms on a real gateway', { timeout: 120_000 }, () => {
  let gateway: TestGateway;
  let traces: OtlpReceiver;

  before(async () => {
    traces = await startOtlpReceiver();
    gateway = await startGateway({
      examples: true,
      env: {
        HEARTH_CONFIG: EXAMPLES_CONFIG,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${traces.url}/v1/traces`,
        OTEL_BSP_SCHEDULE_DELAY: '50',
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await traces?.close();
  });

  const call = (path: string, init: RequestInit = {}) => fetch(`${gateway.url}${path}`, init);
  const post = async <Body>(path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await call(path, { method: 'POST', headers, body: JSON.stringify(body) });
    return {
      status: response.status,
      id: response.headers.get('hearth-invocation-id') ?? '',
      body: (await response.json()) as Body,
    };
  };

  test('a start with the configuration of the examples deploys all of them', async () => {
    const { body } = await gateway.api<{ functions: { name: string }[] }>('GET', '/v1/functions');
    const names = new Set(body.functions.map(({ name }) => name));
    const parts = [...(await partsOf('snippet')), ...(await partsOf('composed-business'))];
    assert.equal(parts.length, 8);
    for (const part of parts) assert.ok(names.has(part.split('/')[1]!), `${part} is not there: ${gateway.output()}`);
  });

  describe('snippet', () => {
    interface Quotes {
      quotes: { carrier: string; cents: number; days: number }[];
      failed: string[];
    }

    test('the base asks every carrier, and sorts what they say', async () => {
      const { status, body } = await post<Quotes>('/quotes', { grams: 1200, country: 'de' });
      assert.equal(status, 200);
      assert.deepEqual(body, {
        quotes: [
          { carrier: 'post', cents: 540, days: 2 },
          { carrier: 'courier', cents: 1610, days: 1 },
        ],
        failed: [],
      });
      const far = await post<Quotes>('/quotes', { grams: 1200, country: 'IS' });
      assert.deepEqual(
        far.body.quotes.map(({ carrier }) => carrier),
        ['post'],
      );
    });

    test('the base refuses a wrong parcel, and hides its carriers', async () => {
      const { status, body } = await post<{ error: string }>('/quotes', { grams: 0, country: 'DE' });
      assert.equal(status, 400);
      assert.match(body.error, /^grams: /);
      assert.equal((await call('/quotes', { method: 'POST', body: 'no parcel' })).status, 400);
      assert.equal((await call('/post')).status, 404);
    });

    test('a carrier that breaks its word costs its own quote', async () => {
      const manifest = { hearth: { base: 'parcels', group: 'parcels', publish: false } };
      const source = "import { env } from 'hearth'; export default env.BASE.carrier(() => ({ cents: -3, days: 0 }));";
      await gateway.deploy('courier', source, { manifest });
      const { body } = await post<Quotes>('/quotes', { grams: 1200, country: 'DE' });
      assert.deepEqual([body.quotes.map(({ carrier }) => carrier), body.failed], [['post'], ['courier']]);
      assert.equal((await deployAsJson(gateway, 'snippet/courier')).status, 201);
    });
  });

  describe('module-application', () => {
    const guess = (player: string, number: unknown) =>
      post<{ answer?: string; guesses?: number; error?: string }>(`/hunt/${player}/guesses`, { guess: number });

    test('a hunt comes to its end by halving, and stands on the board', async () => {
      let [low, high, guesses] = [1, 1000, 0];
      for (;;) {
        const middle = Math.floor((low + high) / 2);
        const { status, body } = await guess('ada', middle);
        assert.equal(status, 200, JSON.stringify(body));
        guesses++;
        assert.equal(body.guesses, guesses);
        if (body.answer === 'found') break;
        if (body.answer === 'higher') low = middle + 1;
        else high = middle - 1;
      }
      assert.ok(guesses <= 10);
      const { players } = (await (await call('/hunt/board')).json()) as { players: object[] };
      assert.deepEqual(players[0], { player: 'ada', guesses, found: true });
      assert.equal((await guess('ada', 1)).status, 409);
    });

    test('bad guesses are refused, and its page is there under both of its addresses', async () => {
      assert.equal((await guess('ada', 'many')).status, 400);
      assert.equal((await guess('ada', 1001)).status, 400);
      assert.equal((await guess('<b>', 1)).status, 400);
      for (const path of ['/hunt', '/module-application/hunt']) {
        assert.match(await (await call(path)).text(), /Number hunt/);
      }
    });

    test('the cron writes down who has won', async () => {
      const tomorrow = Date.now() + 86_400_000;
      for (let run = 0; run < 2; run++) {
        const answer = await gateway.api('POST', '/v1/functions/module-application/invoke', {
          trigger: 'cron',
          scheduledTime: tomorrow,
        });
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
      }
      const winners = (await (await call('/hunt/winners')).json()) as { winner: string | null }[];
      assert.deepEqual(
        winners.map(({ winner }) => winner),
        ['ada'],
      );
    });
  });

  describe('composed-business', () => {
    const request = { campaign: 'Spring is here', audience: 'newcomers', country: 'DE' };
    const batches = async () => ((await (await call('/vouchers')).json()) as { batches: { batch: string }[] }).batches;

    before(async () => {
      const routes = ['*/campaigns', '*/campaigns/*'];
      for (const [name, publication] of [
        ['campaigns', { function: 'spring', routes }],
        ['campaigns-friday', { function: 'friday', routes, tag: 'friday' }],
      ] as const) {
        const answer = await gateway.api('PUT', `/v1/publications/${name}`, publication);
        assert.equal(answer.status, 201, JSON.stringify(answer.body));
      }
    });

    test('a flow runs over the components of three modules', async () => {
      const { status, body } = await post<{ reached: number; batch: string }>('/campaigns', request);
      assert.equal(status, 200, JSON.stringify(body));
      assert.equal(body.reached, 2);
      assert.deepEqual(
        (await batches()).filter(({ batch }) => batch === body.batch),
        [{ batch: body.batch, campaign: 'Spring is here', percent: 10 }],
      );
    });

    test('an attribute of the request picks the template', async () => {
      const answer = await call('/campaigns', {
        method: 'POST',
        body: JSON.stringify({ ...request, audience: 'sleepers' }),
      });
      assert.equal(answer.headers.get('x-template'), 'sleepers');
      assert.equal(((await answer.json()) as { reached: number }).reached, 1);
    });

    test('the tag of the request picks the business; both use the same components', async () => {
      const before = (await batches()).length;
      const { status, body } = await post('/campaigns', { ...request, percent: 30 }, { 'x-hearth-tag': 'friday' });
      assert.deepEqual([status, body], [200, { campaign: 'Spring is here', reached: 2, batch: null }]);
      assert.equal((await batches()).length, before);
    });

    test('a component that fails ends the flow, and what was done is undone', async () => {
      const before = await batches();
      const { status, body, id } = await post<Refused>('/campaigns', { ...request, country: 'IS' });
      assert.equal(status, 502);
      assert.equal(
        body.error.message,
        'business spring, flow newcomers, step delivery, component mail: the mail server of bjork@mail.invalid takes no mail',
      );
      assert.deepEqual(
        body.error.steps.map(({ name, state }) => [name, state]),
        [
          ['audience', 'done'],
          ['voucher', 'compensated'],
          ['draft', 'done'],
          ['delivery', 'failed'],
        ],
      );
      assert.deepEqual(await batches(), before);

      const named = [
        'flow newcomers',
        'step audience',
        'step voucher',
        'step draft',
        'step delivery',
        'compensate voucher',
      ];
      const own = (spans: ReturnType<OtlpReceiver['spans']>) =>
        spans.filter(({ attributes }) => attributes['faas.invocation_id'] === id);
      const spans = own(
        await traces.waitForSpans(
          (all) => own(all).some(({ name }) => name === 'flow newcomers'),
          AbortSignal.timeout(20_000),
        ),
      );
      const span = (name: string) => spans.find((one) => one.name === name) ?? assert.fail(`${name} has no span`);
      for (const name of named.slice(1)) assert.equal(span(name).parentSpanId, span('flow newcomers').spanId);
      assert.equal(span('flow newcomers').parentSpanId, span('function.invoke').spanId);
      assert.deepEqual(
        named.map((name) => span(name).status.code),
        ['error', 'unset', 'unset', 'unset', 'error', 'unset'],
      );
      assert.equal(span('step delivery').attributes['hearth.component'], 'mail');
      assert.ok(span('step audience').endNs <= span('step delivery').startNs, 'steps that follow each other overlap');
    });

    test('a wrong request is refused with its field, before anything runs', async () => {
      const { status, body } = await post<Refused>('/campaigns', { ...request, audience: 'everybody' });
      assert.equal(status, 400);
      assert.deepEqual(
        body.error.issues.map(({ field }) => field),
        ['request.audience'],
      );
    });

    test('a component that is deployed anew is in both businesses with the next call', async () => {
      const source = Buffer.from((await readExample('composed-business/segments')).get('index.ts')!).toString();
      const manifest = { hearth: { base: 'marketing', group: 'marketing', publish: false } };
      const change = source.replace("country: 'NL', daysSinceOrder: 9", "country: 'DE', daysSinceOrder: 9");
      assert.notEqual(change, source);
      await gateway.deploy('segments', change, { manifest });
      for (const headers of [{}, { 'x-hearth-tag': 'friday' }]) {
        assert.equal((await post<{ reached: number }>('/campaigns', request, headers)).body.reached, 3);
      }
    });

    test('under load, and with a component replaced in the middle, each call ends whole or undone', async () => {
      const known = new Set((await batches()).map(({ batch }) => batch));
      const issued: string[] = [];
      let undone = 0;
      const callers = Array.from({ length: 6 }, async (_, caller) => {
        for (let n = 0; n < 25; n++) {
          if (caller === 0 && n === 8)
            assert.equal(
              (await deployAsJson(gateway, 'composed-business/vouchers', { vars: { RELEASE: '2' } })).status,
              201,
            );
          const country = (caller + n) % 3 === 0 ? 'IS' : 'DE';
          const { status, body } = await post<Refused & { batch: string }>('/campaigns', { ...request, country });
          if (country === 'DE') {
            assert.equal(status, 200, JSON.stringify(body));
            issued.push(body.batch);
          } else {
            assert.equal(status, 502, JSON.stringify(body));
            assert.equal(body.error.step, 'delivery');
            assert.deepEqual(
              body.error.steps.filter(({ name }) => name === 'voucher').map(({ state }) => state),
              ['compensated'],
            );
            undone++;
          }
        }
      });
      await Promise.all(callers);
      assert.equal(issued.length + undone, 150);
      const valid = (await batches()).map(({ batch }) => batch).filter((batch) => !known.has(batch));
      assert.deepEqual(valid.sort(), issued.sort());
    });

    test('out of its group a module is called over the gateway, its own trace under the step', async () => {
      const change = { hearth: { base: 'marketing', publish: false } };
      assert.equal((await deployAsJson(gateway, 'composed-business/messages', change)).status, 201);
      const { status, id } = await post('/campaigns', request);
      assert.equal(status, 200);
      const calls = (all: ReturnType<OtlpReceiver['spans']>) => {
        const steps = all.filter(
          ({ name, attributes }) => name === 'step delivery' && attributes['faas.invocation_id'] === id,
        );
        return all.filter(({ parentSpanId }) => steps.some(({ spanId }) => spanId === parentSpanId));
      };
      const [called] = calls(await traces.waitForSpans((all) => calls(all).length > 0, AbortSignal.timeout(20_000)));
      assert.deepEqual([called?.kind, called?.attributes['faas.name']], ['server', 'messages']);
    });

    test('its base may also come over the API, without a configuration file', async () => {
      const files: Record<string, string> = {};
      for (const path of ['base.ts', 'schema.ts']) {
        files[path] = Buffer.from((await readExample('composed-business')).get(path)!).toString();
      }
      const setup = { main: 'base.ts', files };
      const made = await gateway.api('PUT', '/v1/bases/campaigns', { shared: ['zod'], setup, warm: 1 });
      assert.equal(made.status, 201, JSON.stringify(made.body));
      const source = Buffer.from((await readExample('composed-business/segments')).get('index.ts')!).toString();
      await gateway.deploy('segments-2', source, { manifest: { hearth: { base: 'campaigns' } } });
      const told = (await (await call('/segments-2')).json()) as { components: { name: string }[] };
      assert.deepEqual(
        told.components.map(({ name }) => name),
        ['newcomers', 'sleepers'],
      );
    });

    test('documentation and schema come from the schema file', async () => {
      const page = await (await call('/campaigns')).text();
      assert.match(page, /^# spring\n/);
      assert.match(
        page,
        /\| `audience` \| "newcomers" or "sleepers" \| yes \| Whom it is for; chooses the template \|/,
      );
      assert.match(page, /2\. \*\*voucher\*\*: voucher by `percent` of `VOUCHERS` .*, beside \*\*draft\*\*/);
      const schema = (await (await call('/campaigns/schema')).json()) as { input: { required: string[] } };
      assert.deepEqual(schema.input.required, ['campaign', 'audience', 'country']);
    });
  });
});

test('without the configuration of the examples those that need a base of their own are left out, and it is said', async () => {
  await using gateway = await startGateway({ examples: true });
  assert.match(gateway.output(), /HEARTH_CONFIG=functions\/examples\/hearth\.config\.jsonc has them/);
  const { body } = await gateway.api<{ functions: { name: string }[] }>('GET', '/v1/functions');
  const names = new Set(body.functions.map(({ name }) => name));
  assert.ok(names.has('hello') && names.has('module-application'));
  assert.ok(!names.has('quotes') && !names.has('spring'));
});
