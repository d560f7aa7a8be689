// Package store keeps records on flash through power cuts: an append-only log
// in one little file, which begins with a snapshot. What the records mean is
// their writer's business.
//
//	s, err := store.Open("/data/twin", id, nil)
//	...
//	defer s.Close() // after the client
//	dev := device.New(id, cred, mqtt.Dialer{}, &device.Options{Store: s})
//
// The client alone reads and writes it. It appends records, each of which is
// durable when its Append has returned nil, and from time to time replaces them by
// a snapshot of what they amount to, by Compact.
//
// # Promises
//
// A record whose Append returned nil is found by the next Open, after a crash,
// kill -9 or a power cut at any moment, in the order of its Append, or else a
// snapshot that replaced it. Nothing is found that was not appended, nor half
// of it. (With [Options].SyncEvery a power cut may take the last records; the
// field says how many.) The tests cut the power of a disk in memory at every
// write boundary and in the midst of every write, lose any of the pages that
// were not synced, and kill a process on a real file.
//
// That rests on fsync: on flash that does what it says, and on a file system
// whose rename is atomic, as of ext4, f2fs, UBIFS, btrfs and XFS. FAT's is
// not: there, a power cut during Compact can lose the file.
//
// Where a record could not be written, Append says so, and the log is as it
// was before: a full disk matches [ErrFull] and costs nothing else. After a
// failed fsync nobody knows what is on flash, and trying again would tell a
// lie, so the store is broken, [ErrBroken], until a Compact has written a new
// file. Its user has in memory what the snapshot needs. The store keeps no
// second copy, but of the 64 KiB at most that [Options].SyncEvery acknowledged
// before their fsync: with these and the old file it mends itself. So any
// failed Append may be answered by a Compact whose snapshot covers the record.
// Where that fails too, wait a while before the next.
//
// # Users
//
// A store has one user at a time, who holds its claim, and belongs to one
// device or module. package device claims it when a client starts, which fails
// with [ErrInUse] or [ErrForeign], and releases it in Close. The next client loads
// what all before have kept, without a new Open.
//
// # What Open does
//
//	found                                     what follows
//	nothing, or an empty file                 a new store
//	another device's file, or no store        ErrForeign; nothing is touched
//	a newer format                            ErrNewer; nothing is touched
//	a lock held, here or elsewhere            ErrLocked
//	more than 4 times MaxSize                 an error; nothing is touched
//	the rest of an unfinished Compact         removed
//	a torn end: no good record follows        cut off, and told by Damage
//	damage, and good records behind it        what is before it is used; the file is
//	                                          copied to path+".corrupt"; told by Damage
//	a damaged header or snapshot              the same, and a new store
//
// Open with the zero Identity takes any device's file, and makes none where
// there is nothing or only a damaged header: the first client does.
//
// In the end Open syncs the file and its folder: a process that was killed may
// have left both in the kernel's memory only.
//
// # Flash
//
// A record of 60 bytes takes 72, in one write, and one fsync that it shares
// with all that wait at the time. Nothing is written twice before a Compact,
// and one is due when the log is four times its snapshot, and 64 KiB. On
// flash there are at most the file and, for a moment, the next one, of MaxSize
// each, an empty lock file, and after damage one copy of the damaged file.
//
// # Format
//
// Numbers are little-endian; checksums are CRC-32C (Castagnoli). The header:
//
//	offset  bytes  what
//	0       8      89 44 54 77 69 6e 0d 0a: "\x89DTwin\r\n"
//	8       4      version of the format, 1
//	12      4      checksum of bytes 0 to 11; so far all versions are alike
//	16      8      salt, random, of this file alone
//	24      1      d, the length of the device's id
//	25      1      m, the length of the module's id, 0 for a device
//	26      d      the device's id
//	26+d    m      the module's id
//	26+d+m  4      checksum of bytes 16 to 25+d+m
//
// Then the records, one behind the other to the end of the file:
//
//	0       4      n, the length of the payload
//	4       4      the record's number
//	8       4      checksum of the salt, the record's bytes 0 to 7, and the payload
//	12      n      the payload
//
// Record 0 is the snapshot, of length 0 in a new store; the others count from
// 1. So a block that an earlier file left on flash has a wrong checksum, and a
// record that is there twice, or missing, a wrong number. The host of the
// identity is not in it: a device that moves to another hub keeps its store.
package store
