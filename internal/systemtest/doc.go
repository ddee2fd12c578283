// Package systemtest tries the real program: it builds cmd/logline once, runs
// "logline serve" in a process of its own, speaks HTTP to it with real keys
// through the client package, and does to it what the world does: wrong input,
// full disks, SIGTERM and SIGKILL. It has no code outside its tests.
//
// LOGLINE_TEST_SEED repeats a run's random moments; each run prints its seed.
// LOGLINE_TEST_LONG makes databases stay away for 30 s instead of 6.
package systemtest
