/**
 * Which member should own which partition: rendezvous hashing with a limit, so that no member has more than its share. Every
 * member computes the same from the same list of members, and a member that joins or leaves moves few partitions.
 */
import { hash32 } from './names.ts';

/**
 * @param members any order
 * @returns the owner of each partition; empty without members
 */
export function assignPartitions(members: readonly string[], partitions: number): string[] {
  if (members.length === 0) return [];
  const most = Math.ceil(partitions / members.length);
  const load = new Map(members.map((member) => [member, 0]));
  return Array.from({ length: partitions }, (_, partition) => {
    let best = '';
    let bestScore = -1;
    for (const [member, taken] of load) {
      const score = hash32(`${member}/${partition}`);
      if (taken < most && (score > bestScore || (score === bestScore && member < best))) {
        best = member;
        bestScore = score;
      }
    }
    load.set(best, (load.get(best) ?? 0) + 1);
    return best;
  });
}
