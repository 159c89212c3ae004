/** Prometheus metrics (prom-client): one registry a process, every name prefixed `thaw_`. */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export interface MetricOptions<L extends string> {
  readonly help: string;
  readonly labels?: readonly L[];
}

/** Makes metrics and renders them. Names are given without the prefix and carry their unit: `step_seconds`, `bytes_sent_total`. */
export class Metrics {
  readonly registry = new Registry();

  /** @param options.processMetrics adds CPU, memory and event-loop figures of the process (default true). */
  constructor(options: { service: string; processMetrics?: boolean }) {
    this.registry.setDefaultLabels({ service: options.service });
    if (options.processMetrics ?? true) collectDefaultMetrics({ register: this.registry, prefix: 'thaw_' });
  }

  counter<L extends string = never>(name: string, { help, labels = [] }: MetricOptions<L>): Counter<L> {
    return new Counter({ name: `thaw_${name}`, help, labelNames: [...labels], registers: [this.registry] });
  }

  /** A counter that somebody else keeps: `read` gives its value, which never falls, whenever metrics are rendered. */
  counterOf(name: string, { help }: MetricOptions<never>, read: () => number): void {
    new Counter({
      name: `thaw_${name}`,
      help,
      registers: [this.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  }

  gauge<L extends string = never>(name: string, { help, labels = [] }: MetricOptions<L>): Gauge<L> {
    return new Gauge({ name: `thaw_${name}`, help, labelNames: [...labels], registers: [this.registry] });
  }

  histogram<L extends string = never>(
    name: string,
    options: MetricOptions<L> & { buckets?: readonly number[] },
  ): Histogram<L> {
    return new Histogram({
      name: `thaw_${name}`,
      help: options.help,
      labelNames: [...(options.labels ?? [])],
      registers: [this.registry],
      ...(options.buckets === undefined ? {} : { buckets: [...options.buckets] }),
    });
  }

  /** Content type of {@link render}. */
  get contentType(): string {
    return this.registry.contentType;
  }

  /** The exposition text that `/metrics` answers. */
  render(): Promise<string> {
    return this.registry.metrics();
  }
}

export type { Counter, Gauge, Histogram } from 'prom-client';
