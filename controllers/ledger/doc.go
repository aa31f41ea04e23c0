// Package ledger keeps the log over all sessions going: every replica appends leaves, the leader takes them into the tree, once
// a second.
//
// What happens to a leaf, and who has it when a process dies in between:
//
//  1. Append writes it under log/pending/. From here on it is not lost.
//  2. The leader writes a batch of them under log/batch/, under a name made of its content.
//  3. It puts the signed checkpoint, and the batch's name, into the Register by compare-and-swap. From here on, they are the
//     log: of two leaders, one has lost.
//  4. It writes tiles and entries, then log/checkpoint. A successor does that from the batch.
//  5. It deletes what was pending, and older batches. A leaf that is met again is known by its ID.
//
// Tiles are functions of the entries before them, so that a leader that was replaced and does not know it yet can only write
// what is there already.
//
// It must not know what leaves are about, except which pods have ended, nor how a bucket is reached.
package ledger
