// Package servers starts the database servers of the distribution for tests: Redis,
// as one server, a cluster or behind a sentinel, and PostgreSQL.
//
// It promises servers of their own on free ports of loopback, that keep nothing and end
// with the test, and with the process if that is killed. It installs nothing: where a
// server is missing, the test fails and says how to get it. Commands start them by a
// Keeper.
package servers
