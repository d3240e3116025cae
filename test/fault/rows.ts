/**
 * The faults that gatecast must survive, and the tests that inject each of them. `deploy/reliability-page.ts` writes
 * docs/reliability.md from this list; `test/deploy/reliability.test.ts` checks that every named test exists.
 */

/** The promises that the faults test. */
export const PROMISES = {
  P1: 'An acknowledged sample survives `kill -9`, and a power cut with `store.durability: power`.',
  P2: 'The store never blocks forecasting.',
  P3: 'Memory, disk and queues are bounded.',
  P4: 'No input stops the daemon.',
  P5: 'A bad model or config is rolled back within three starts.',
  P6: 'Every drop is counted by reason and published.',
} as const;

export type PromiseId = keyof typeof PROMISES;

export interface FaultRow {
  readonly row: number;
  readonly fault: string;
  readonly holds: string;
  readonly promises: readonly PromiseId[];
  /** File below `test/`, and the beginning of a test's title in it. */
  readonly tests: readonly (readonly [file: string, title: string])[];
}

export const FAULT_ROWS: readonly FaultRow[] = [
  {
    row: 1,
    fault: 'a crash at every sync',
    holds: 'the database is intact; all acknowledged rows are there, none twice',
    promises: ['P1'],
    tests: [['fault/store-crash.test.ts', 'row 1:']],
  },
  {
    row: 2,
    fault: '`kill -9` at random instants',
    holds: 'no acknowledged row is lost; forecasts go on as if there had been no crash',
    promises: ['P1'],
    tests: [
      ['fault/store-crash.test.ts', 'row 2:'],
      ['fault/mqtt-acknowledge.test.ts', 'holds through'],
      ['e2e/restart.slow.test.ts', ''],
    ],
  },
  {
    row: 3,
    fault: 'power is cut',
    holds: 'only what was not synced is lost',
    promises: ['P1'],
    tests: [
      ['fault/power-cut.test.ts', 'row 3: under \\`power\\`'],
      ['fault/power-cut.test.ts', 'row 3: under `crash`'],
    ],
  },
  {
    row: 4,
    fault: 'an error of `fsync`',
    holds: 'unsaved samples are not acknowledged; one alert; the store recovers',
    promises: ['P1', 'P2'],
    tests: [['fault/store-crash.test.ts', 'row 4:']],
  },
  {
    row: 5,
    fault: 'the disk is full or read-only',
    holds: 'forecasts go on; the oldest rows are deleted and counted; the store recovers',
    promises: ['P2', 'P3', 'P6'],
    tests: [
      ['fault/store-crash.test.ts', 'rows 5 and 35:'],
      ['fault/store-crash.test.ts', 'row 5:'],
      ['fault/store-outage.test.ts', 'forecasts go on'],
    ],
  },
  {
    row: 6,
    fault: 'flipped bits in database, journal, state, model or pushed config',
    holds: 'a checksum detects them; the damaged part is set aside, counted and reported',
    promises: ['P1', 'P5', 'P6'],
    tests: [
      ['store/journal.test.ts', 'loses only the frame of a flipped bit'],
      ['store/sqlite-store.test.ts', 'copies the readable data of a damaged database'],
      ['store/sqlite-store.test.ts', 'uses the previous state if the newest is damaged'],
      ['agent/tuning.test.ts', 'a model that is damaged on the disk is set aside'],
      ['model/registry.test.ts', 'refuses %s with one flipped bit'],
      ['fault/store-crash.test.ts', 'row 6:'],
    ],
  },
  {
    row: 7,
    fault: 'the trainer runs out of memory, is killed or hangs',
    holds: 'only its process ends; the model in use is untouched; it is reported; it ends with the agent',
    promises: ['P3', 'P4', 'P5'],
    tests: [
      ['fault/trainer.test.ts', 'row 7:'],
      ['training/job.test.ts', 'reports a killed worker and one out of memory, without other effects'],
      ['training/group-tuner.test.ts', 'keeps champion and slots after a refusal, failure or kill'],
      ['training/scheduler.test.ts', 'aborts a run that hangs'],
    ],
  },
  {
    row: 8,
    fault: 'a leak over 1,000,000 steps or 500 changes of the model',
    holds: 'the heap and the resident memory do not grow',
    promises: ['P3'],
    tests: [['fault/leak.test.ts', 'row 8:']],
  },
  {
    row: 9,
    fault: 'the event loop or a step is stuck',
    holds: 'only progress feeds the watchdog; quiet sensors do not trigger it',
    promises: ['P4'],
    tests: [
      ['system/notify.test.ts', 'is fed by rounds of the pipeline, not by timers'],
      ['agent/pipeline.test.ts', 'a long round reports progress, a hanging one does not'],
      ['fault/watchdog.test.ts', 'row 9:'],
    ],
  },
  {
    row: 10,
    fault: 'the broker is down at the start, flaps, or is frozen',
    holds: 'reconnects with jitter; the outbox is bounded; birth at every connect; order per stream',
    promises: ['P3', 'P4'],
    tests: [
      ['mqtt/client.test.ts', 'starts without a broker'],
      ['mqtt/client.test.ts', 'keeps what was published meanwhile'],
      ['mqtt/client.test.ts', 'notices a broker that hangs'],
      ['mqtt/backoff.test.ts', 'begins anew after a connection that lasted'],
    ],
  },
  {
    row: 11,
    fault: 'the broker loses the session',
    holds: 'subscribes again; the gap is filled and flagged',
    promises: ['P4'],
    tests: [
      [
        'mqtt/client.test.ts',
        'has a session that outlives a restart of the broker, from the first connection on',
      ],
      ['mqtt/client.test.ts', 'has the broker publish its last will when it is killed'],
      ['agent/agent.test.ts', 'while the broker is away forecasts continue'],
      ['agent/alerts.test.ts', 'alerts are published again at a broker that lost its retained messages'],
    ],
  },
  {
    row: 12,
    fault: 'samples twice, out of order, late or from the future',
    holds: 'within `lateness` the forecasts equal those of ordered samples; other samples are counted',
    promises: ['P6'],
    tests: [
      [
        'forecast/engine-equality.test.ts',
        'forecasts the same live, shuffled within the lateness and doubled',
      ],
      ['agent/pipeline.test.ts', 'drops are counted: late, retained without a time of its own, overload'],
      ['fault/both-ways.test.ts', 'refuse the same readings of a dirty file'],
    ],
  },
  {
    row: 13,
    fault: 'the clock jumps, was never set, or a stamp is of 1970 or 2038',
    holds: 'timers are monotonic; nothing is forecast until the clock is sane; samples are kept',
    promises: ['P4', 'P6'],
    tests: [
      ['agent/pipeline.test.ts', 'a clock that was never set delays the forecasts, not the samples'],
      [
        'agent/pipeline.test.ts',
        'a clock that was never set does not make stamps of an overflowed clock true',
      ],
      ['agent/agent.test.ts', 'after 2037 readings are accepted, stored over a restart, and forecast'],
      ['agent/clock-hold.test.ts', 'a clock that was never set is not sane'],
      ['agent/health.test.ts', 'setting the clock after the start does not add years to the uptime'],
      ['agent/cron.test.ts', 'catches up on minutes between two checks, but not after the clock was set'],
      ['store/sqlite-store.test.ts', 'is not emptied by a clock that jumps ahead'],
    ],
  },
  {
    row: 14,
    fault: 'two daemons with one data directory or one client id',
    holds: 'the second is refused, or named in an alert; the first is not harmed',
    promises: ['P4'],
    tests: [
      ['agent/agent.test.ts', 'a second agent on the same data directory is refused'],
      ['store/lock.test.ts', 'ends with its process'],
      ['mqtt/client.test.ts', 'suspects another client with its id'],
    ],
  },
  {
    row: 15,
    fault: 'a payload that is too large, no JSON, NaN, 1e400 or a million levels deep, also retained',
    holds: 'one counted reject; the connection and its session stay',
    promises: ['P3', 'P4', 'P6'],
    tests: [
      ['mqtt/client.test.ts', 'skips a message that is too large'],
      ['ingest/decoder-contract.test.ts', 'answers %j with typed rejects'],
      ['agent/agent.test.ts', 'unreadable messages are counted by reason, and nothing stops'],
    ],
  },
  {
    row: 16,
    fault: 'hostile topics, 100,000 unknown topics',
    holds: 'no topic reaches a filter, a path or SQL unescaped; bounded; known streams go on',
    promises: ['P3', 'P4'],
    tests: [
      ['ingest/router.test.ts', 'stays bounded with 100,000 unknown topics and fields'],
      ['ingest/router.test.ts', 'is safe as topic levels, whatever it is made of'],
    ],
  },
  {
    row: 17,
    fault: '`__proto__` and `constructor.prototype` in payload, config or request',
    holds: 'refused; `Object.prototype` is unchanged',
    promises: ['P4'],
    tests: [
      ['ingest/json.test.ts', 'never reads or creates prototypes'],
      ['config/load.test.ts', 'as data is held to the same rules, prototypes included'],
      ['agent/requests.test.ts', 'names of object prototypes are not accepted as names'],
    ],
  },
  {
    row: 18,
    fault: 'a hostile config push: unsigned, replayed, older, 5 MB, unknown keys, for another node',
    holds: 'refused with a reason; the running config is unchanged',
    promises: ['P4', 'P5'],
    tests: [
      ['remote/codes.test.ts', '%s: %i at %s'],
      ['remote/codes.test.ts', '409: a version that is equal or older'],
      ['remote/attacks.test.ts', '%s: %i at %s'],
      ['e2e/remote-config.slow.test.ts', 'refuses bad input, keeps running, and says why'],
    ],
  },
  {
    row: 19,
    fault: 'a valid config or model that does harm',
    holds: 'the previous one runs again within three starts; the counter is on disk',
    promises: ['P5'],
    tests: [
      ['remote/codes.test.ts', '500: a failed probation goes back and says what failed'],
      ['e2e/remote-config.slow.test.ts', 'a push whose streams fall silent is rolled back'],
      ['fault/harmful-push.test.ts', ''],
      ['agent/tuning.test.ts', 'a model that never ends its probation is set aside after three starts'],
      ['agent/tuning.test.ts', 'a model that does worse live than the naive is taken back'],
    ],
  },
  {
    row: 20,
    fault: '`kill -9` in every state of a config push or a change of the model',
    holds: 'one runnable, consistent config afterwards, reported truthfully',
    promises: ['P5'],
    tests: [
      ['fault/push-kills.test.ts', '%s, %s'],
      ['remote/invariants.test.ts', 'keeps its invariants'],
      ['fault/finetune.test.ts', 'a model is trained beside the forecasts, taken up, kept over a kill'],
    ],
  },
  {
    row: 21,
    fault: 'a model with a wrong checksum, wrong dimensions or NaN weights',
    holds: 'refused before the runtime loads it',
    promises: ['P4', 'P5'],
    tests: [
      ['model/registry.test.ts', 'refuses a missing file, wrong dimensions'],
      ['model/registry.test.ts', 'refuses NaN weights even when the checksum fits'],
      ['model/registry.test.ts', 'refuses weights of another network'],
    ],
  },
  {
    row: 22,
    fault: 'the saved state belongs to another model',
    holds: 'it is not used; the stream warms up from stored samples',
    promises: ['P5'],
    tests: [['forecast/engine.test.ts', 'are refused when another model made them, or they are damaged']],
  },
  {
    row: 23,
    fault: 'poisoned training data: stuck, spiky or adversarial',
    holds: 'it is left out with the reason, or the gate refuses; the model in use is untouched',
    promises: ['P5'],
    tests: [
      ['agent/tuning.test.ts', 'history with wrong values is left out with the reason, in the real worker'],
      ['training/gate.test.ts', 'refuses a candidate that diverged once'],
      ['training/gate.test.ts', 'refuses a candidate that is worse or equal'],
    ],
  },
  {
    row: 24,
    fault: 'TLS: wrong authority, expired, wrong host, no client certificate',
    holds: 'refused; never in plain text',
    promises: ['P4'],
    tests: [
      ['mqtt/tls.test.ts', 'refuses'],
      ['mqtt/tls.test.ts', 'never falls back to plain text'],
    ],
  },
  {
    row: 25,
    fault: 'an access list forbids to publish or to subscribe',
    holds: 'one alert; no busy loop; permitted topics continue',
    promises: ['P4', 'P6'],
    tests: [
      ['mqtt/client.test.ts', 'counts and reports what an ACL forbids, and stays connected'],
      ['e2e/contract.slow.test.ts', 'a refused subscription or a silent stream is an alert with a text'],
    ],
  },
  {
    row: 26,
    fault: 'flash wear',
    holds: 'at most 100 bytes a sample at the default flush',
    promises: ['P3'],
    tests: [['fault/flash-wear.test.ts', 'row 26:']],
  },
  {
    row: 27,
    fault: 'SIGTERM at any stage',
    holds: 'exit within 5 s; the state is saved; `offline` is published',
    promises: ['P1'],
    tests: [['fault/terminate.test.ts', 'row 27:']],
  },
  {
    row: 28,
    fault: 'mutated payloads, more than 1,000,000',
    holds: 'readings or a typed reject, never a throw',
    promises: ['P4'],
    tests: [['fault/fuzz-decoders.test.ts', 'answers ']],
  },
  {
    row: 29,
    fault: 'upgrade and downgrade of the database',
    holds: 'an older one is migrated; a newer one is refused and not changed',
    promises: ['P1'],
    tests: [['store/migrations.test.ts', '']],
  },
  {
    row: 30,
    fault: 'the agent is stopped, or the network is away, for 40 s and longer',
    holds: 'queued messages are used; none is `late` or `duplicate`',
    promises: ['P1', 'P6'],
    tests: [['fault/backlog.test.ts', '']],
  },
  {
    row: 31,
    fault: '1,500 streams with three leads and Home Assistant on a healthy broker',
    holds: 'the newest forecast of every stream arrives; nothing is dropped while connected',
    promises: ['P3', 'P6'],
    tests: [
      ['mqtt/client.test.ts', 'delivers the newest forecast of every topic to a reachable broker'],
      ['fault/many-streams.test.ts', 'row 31:'],
    ],
  },
  {
    row: 32,
    fault: 'one message of 250 MB over MQTT 3.1.1',
    holds: 'the connection is cut at the header; memory is flat; one alert; no restart loop',
    promises: ['P3', 'P4'],
    tests: [
      ['fault/huge-message.test.ts', 'is not killed by 200 MB over MQTT 3.1.1'],
      ['fault/hostile-messages.test.ts', 'row 32:'],
    ],
  },
  {
    row: 33,
    fault: 'amplification: empty Sparkplug metrics, SenML records, ten a second',
    holds: 'forecasts go on; excess messages of the topic are refused and counted',
    promises: ['P3', 'P4', 'P6'],
    tests: [
      ['ingest/admission.test.ts', 'refuses a Sparkplug payload of very many metrics'],
      ['ingest/admission.test.ts', 'defers a costly topic without readings'],
      ['ingest/admission.test.ts', 'counts objects without readings'],
      ['fault/hostile-messages.test.ts', 'row 33:'],
    ],
  },
  {
    row: 34,
    fault:
      'a broker that offers less: packet size, no retain, QoS 0 only, silent refusals; a slow subscriber',
    holds: 'works within the limits of the broker and reports them once',
    promises: ['P4', 'P6'],
    tests: [
      ['mqtt/client.test.ts', 'sets a message aside for which a broker closes the connection twice'],
      ['mqtt/nats.test.ts', ''],
      ['fault/rabbitmq.test.ts', ''],
      ['fault/slow-subscriber.test.ts', 'row 34:'],
    ],
  },
  {
    row: 35,
    fault: 'the disk is full for long, then free',
    holds: 'deleted samples are counted and reported; states have hysteresis',
    promises: ['P3', 'P6'],
    tests: [['fault/store-crash.test.ts', 'rows 5 and 35:']],
  },
  {
    row: 36,
    fault: 'a file that never ends, a graph with an endless loop',
    holds: 'refused in seconds',
    promises: ['P4'],
    tests: [['fault/endless-files.test.ts', 'row 36:']],
  },
];

/** Faults of a site (docs/site.md): what must hold in the group, whatever fails. */
export const SITE_ROWS: readonly Omit<FaultRow, 'row' | 'promises'>[] = [
  {
    fault: 'a worker is killed, also between its mark and its publication',
    holds: 'others serve its partitions within 15 s; the forecasts equal those of an undisturbed run',
    tests: [
      ['fault/site.test.ts', 'survives the kill of a worker: within 15 s others serve its partitions'],
      ['site/worker.test.ts', 'share the partitions, take over those of one that is killed'],
      ['site/worker.slow.test.ts', 'lose nothing when one dies between its mark and its publication'],
      ['site/partition.test.ts', 'continued from checkpoints equals one that never stopped'],
      ['site/partition.test.ts', 'gives a stream that begins after a checkpoint the same first forecasts'],
    ],
  },
  {
    fault: 'a worker is suspended for longer than its leases, then goes on',
    holds: 'it publishes nothing for partitions that it has lost',
    tests: [
      ['fault/site.test.ts', 'receives nothing from a worker that was suspended and has lost its partitions'],
      ['site/worker.slow.test.ts', 'publish nothing once another member has taken over'],
    ],
  },
  {
    fault: 'the network between a worker and the servers is cut',
    holds:
      'others serve its partitions; it comes back by itself; nothing is lost or published twice in an epoch',
    tests: [
      ['fault/site-network.test.ts', 'goes on without a worker whose network is cut'],
      ['site/worker.slow.test.ts', 'send again what a lost connection may have taken with it'],
    ],
  },
  {
    fault: 'nats-server is killed in the middle of a takeover and started again, or suspended',
    holds: 'all go on by themselves; nothing acknowledged is lost',
    tests: [['fault/site.test.ts', 'loses nothing when nats-server is %s']],
  },
  {
    fault: 'three servers: each is killed in turn, also the leader of the logs',
    holds:
      'forecasts go on with two; nothing acknowledged is lost; no right of the shipped accounts is missing',
    tests: [['fault/site-cluster.test.ts', 'is created, and served with the rights of the shipped accounts']],
  },
  {
    fault: 'a bridge is killed between the acknowledgement of JetStream and its own',
    holds: 'the broker sends again; no reading is lost or used twice',
    tests: [
      ['fault/site.test.ts', 'takes no reading twice when a bridge is killed again and again'],
      ['site/bridge.test.ts', 'sends over a new connection what was under way on one that was closed'],
    ],
  },
  {
    fault: 'a bridge starts slowly or hardly gets a processor, or its broker answers slowly',
    holds:
      'it confirms no time to the workers before the broker has answered and holds back nothing, for 15 minutes at most',
    tests: [
      [
        'fault/site.test.ts',
        'takes no reading too late when a bridge starts on a machine that hardly lets it',
      ],
      ['agent/clock-hold.test.ts', 'a bridge waits for the broker after a slow start'],
      ['agent/clock-hold.test.ts', 'a bridge vouches for no time while its broker holds messages back'],
    ],
  },
  {
    fault: 'a worker fails on a message of a log',
    holds:
      'it takes it again from the last checkpoint; if it fails again, the message is left out and counted',
    tests: [['site/worker.slow.test.ts', 'take a message again from the last checkpoint if they fail on it']],
  },
  {
    fault: 'workers come and go: 4, 6, then 3',
    holds: 'each partition has one owner, and moves at most once for each change',
    tests: [
      ['fault/site.test.ts', 'moves each partition at most once'],
      ['site/assignment.test.ts', 'moves little more than the share of a member'],
    ],
  },
  {
    fault: 'the clock of a worker is wrong by a minute',
    holds: 'neither leases nor forecasts depend on it',
    tests: [
      ['site/worker.test.ts', 'share the partitions, take over those of one that is killed'],
      ['site/partition.test.ts', 'forecasts every stream, by the clock of the log'],
    ],
  },
  {
    fault: 'wrong credentials, TLS or rights',
    holds: 'a clear error; no user may do more than it needs',
    tests: [
      ['fault/site-cluster.test.ts', 'names what is wrong with a login or a CA'],
      ['fault/site-cluster.test.ts', 'gives each user no more rights than it needs'],
    ],
  },
  {
    fault: 'a log is deleted, made anew, or full',
    holds:
      'an alert names the partition; the others are served; readings wait at the MQTT broker; no hot loop',
    tests: [
      ['fault/site-errors.test.ts', 'whose log was deleted raises an alert'],
      ['fault/site-errors.test.ts', 'whose server has no space left'],
      ['site/worker.test.ts', 'read a log that was made anew'],
      ['site/log-writer.test.ts', 'says why a message is refused'],
    ],
  },
  {
    fault: 'the servers are away for long, or do not answer while a member stops',
    holds: 'an alert without a hot loop; the stop is in time',
    tests: [
      ['fault/site-errors.test.ts', 'whose server is away is an alert'],
      ['fault/site-errors.test.ts', 'is left in time while its server %s'],
    ],
  },
  {
    fault: 'a checkpoint is damaged, or of another model or format',
    holds: 'the states are made anew from the log',
    tests: [
      ['site/partition.test.ts', 'refuses a damaged checkpoint'],
      ['site/partition.test.ts', 'is read from the beginning of its log by another model'],
    ],
  },
  {
    fault:
      'workers of two versions side by side that cannot read the states of each other; an upgrade that is given up',
    holds: 'each makes the states anew from the logs; nothing is lost',
    tests: [
      ['fault/site-upgrade.test.ts', 'that cannot read the states of each other rebuild them from the logs'],
    ],
  },
  {
    fault: 'a change of the model is cut off at any point, or refused by a worker',
    holds: 'nothing changes, or all partitions switch, each at one message of its log',
    tests: [
      ['fault/site-tuning.test.ts', 'survives a change of the model that is cut off at any point'],
      [
        'site/worker.slow.test.ts',
        'switch to another model at one message of each log, and refuse it together',
      ],
      ['fault/site.test.ts', 'switches to another model while it runs'],
    ],
  },
  {
    fault: 'a model that does harm, fine-tuned or given by the operator',
    holds: 'its live scores over the group are bad: all partitions go back to the former model',
    tests: [
      [
        'fault/site-tuning.test.ts',
        'learns from the logs, gives all workers the candidate, and takes it back',
      ],
      ['fault/site-tuning.test.ts', 'confirms a model of the operator whose live scores are good'],
    ],
  },
  {
    fault: 'the worker that fine-tunes is killed or drained in a run',
    holds: 'another one takes over, with the state of the run and of the probation',
    tests: [['fault/site-tuning.test.ts', 'goes on elsewhere when its worker is killed in a run']],
  },
  {
    fault: 'all of these by a seeded random schedule',
    holds: 'every reading is used once; every forecast of an undisturbed run is published',
    tests: [['fault/site-random.test.ts', 'keeps its promises']],
  },
];

/** A weakness that an attack from outside found, and the tests that would find it again. */
export interface Attack {
  readonly attack: string;
  readonly holds: string;
  readonly tests: FaultRow['tests'];
}

export const ATTACKS: readonly Attack[] = [
  {
    attack: 'queued readings were thrown away as late or duplicate after a stall or a reconnect',
    holds:
      'they are used in their time order, stamped or not; what is late for its bucket is stored with a mark',
    tests: [
      ['fault/backlog.test.ts', ''],
      ['agent/pipeline.test.ts', 'drops are counted: late, retained without a time of its own, overload'],
    ],
  },
  {
    attack:
      'while the database could not be read, streams began without their history, and at a start the list of streams was replaced',
    holds: 'streams wait for a minute, then begin without it and are counted; the list is read later',
    tests: [
      ['agent/late-restore.test.ts', 'for some seconds: the streams wait, and nothing is missing then'],
      ['agent/late-restore.test.ts', 'for long: streams that begin anew are counted and logged'],
      ['agent/late-restore.test.ts', 'a list of streams that cannot be read at the start is not replaced'],
    ],
  },
  {
    attack:
      'files and values that could not be read for a while were taken as absent, and then replaced: choice of the model (fine-tuned models were removed), remote config, versions of signed requests, history of fine-tuning, tables, what was announced to Home Assistant; an emptied database was taken as new; a database that the disk could not read was taken for damaged and moved aside',
    holds: 'nothing replaces what could not be read; both are merged once it is read',
    tests: [
      ['agent/unread-values.test.ts', ''],
      ['agent/late-restore.test.ts', 'streams that a new stream brings along wait on'],
      ['model/registry-slots.test.ts', 'does not replace or rename a file that it cannot read'],
      ['remote/attacks.test.ts', 'is not replaced: the local file applies until the next start'],
      ['remote/signed-requests.test.ts', 'versions that cannot be read at the start are not replaced'],
      ['store/sqlite-store.test.ts', 'reports a database that is empty although the store was in use'],
      ['fault/store-crash.test.ts', 'row 4: a database that cannot be read, from any page on'],
    ],
  },
  {
    attack: 'a healthy broker and many streams: forecasts were dropped while the state was `ok`',
    holds: 'while connected nothing is dropped; any drop that breaks a promise degrades the state',
    tests: [
      ['fault/many-streams.test.ts', 'row 31:'],
      ['agent/health.test.ts', 'a drop is reported everywhere: %s'],
      ['agent/drop-counters.test.ts', 'every counter in the sources of the daemon has a reason'],
    ],
  },
  {
    attack: 'one message of 250 MB over MQTT 3.1.1 killed the service',
    holds: 'the connection is cut at the header, once',
    tests: [['fault/hostile-messages.test.ts', 'row 32:']],
  },
  {
    attack: 'messages that cost much and carry nothing starved the forecasts',
    holds: 'every decoder has a budget; a topic over it is put off and counted',
    tests: [['fault/hostile-messages.test.ts', 'row 33:']],
  },
  {
    attack: 'what was acknowledged did not survive a power cut',
    holds: 'with `store.durability: power` it does; the default `crash` survives a killed process',
    tests: [['fault/power-cut.test.ts', 'row 3: under \\`power\\`']],
  },
  {
    attack: 'a full disk deleted rows without an alert, and the state flapped',
    holds: 'the deletion is an alert, counted and logged once; states have hysteresis',
    tests: [['fault/store-crash.test.ts', 'rows 5 and 35:']],
  },
  {
    attack: 'secrets of URLs were logged; files were readable by others; links were followed',
    holds: 'URLs are shown without secrets; files are 0600 whatever the umask; links are not followed',
    tests: [
      ['log.test.ts', 'a URL shows no user, password, query, fragment or token in its path'],
      ['store/journal.test.ts', 'limits its files to their owner, whatever the umask'],
      ['store/journal.test.ts', 'does not follow a link in the place of the journal or the database'],
    ],
  },
  {
    attack: 'one flipped bit in the journal lost all later frames',
    holds: 'the damaged part alone is lost, kept aside and counted; unknown frames are refused',
    tests: [
      ['store/journal.test.ts', 'loses only the frame of a flipped bit'],
      ['store/journal.test.ts', 'reads the rest, counts the damage once'],
      ['store/journal.test.ts', 'rejects a frame with a valid checksum and impossible records'],
    ],
  },
  {
    attack: '90,000 unknown config keys hung `check`',
    holds: 'the first ones are listed, the others counted',
    tests: [['config/mistakes.test.ts', 'does not hang on 90,000 unknown keys']],
  },
  {
    attack: '`model import` and `password_file` of a file that never ends',
    holds: 'refused in seconds',
    tests: [['fault/endless-files.test.ts', 'row 36:']],
  },
  {
    attack: '`inspect` printed escape sequences of names',
    holds: 'control characters are escaped, in the log as well',
    tests: [
      ['cli/shared/output.test.ts', 'prints no control character of a name'],
      ['log.test.ts', 'no text begins a second line, controls a terminal or forges a field in JSON: %j'],
    ],
  },
  {
    attack: '128 silent connections held the page for 29 s',
    holds: 'their places are free again within seconds',
    tests: [['web/server.test.ts', 'connections that send nothing hold their places for seconds only']],
  },
  {
    attack: 'after 2037 every reading was `absurd-time` while the state was `ok`',
    holds:
      'readings are accepted once the clock is there; stamps ahead of it are refused and degrade the state',
    tests: [
      ['agent/agent.test.ts', 'after 2037 readings are accepted, stored over a restart, and forecast'],
      ['series/buckets.test.ts', 'accepts readings of after 2037 when it is after 2037'],
    ],
  },
  {
    attack: '`stop failed part=pipeline` with 10,000 streams',
    holds: 'a stop is in time in the middle of a round, and the next run continues as if there had been none',
    tests: [['agent/many-streams.test.ts', 'a stop in the middle of a round is in time']],
  },
];
