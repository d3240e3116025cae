/**
 * Maps the fields of one topic to streams. Most topics have one field, for which a Map would need more memory than the
 * rest of a route.
 */
export interface Binding {
  readonly field: string;
  /** Index of the rule that owns the field. */
  readonly rule: number;
  readonly stream: string;
}

export class Bindings {
  private first: Binding | null = null;
  private others: Map<string, Binding> | null = null;

  get(field: string): Binding | undefined {
    return this.first?.field === field ? this.first : this.others?.get(field);
  }

  /** Replaces an earlier binding of the field. */
  add(binding: Binding): void {
    if (this.first === null || this.first.field === binding.field) {
      this.first = binding;
      return;
    }
    this.others ??= new Map();
    this.others.set(binding.field, binding);
  }

  clear(): void {
    this.first = null;
    this.others = null;
  }
}
