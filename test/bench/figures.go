package main

import (
	"slices"
	"time"

	"github.com/crispy-enigma/crispy-enigma/test/bench/figures"
)

// goals in the order in which they are told.
var goals = []figures.Goal{
	{Name: "chat_unary_cpu_over_floor", Unit: "ratio", Limit: 1.6, Meaning: "server CPU per unary chat, state in memory"},
	{Name: "chat_unary_cpu_over_floor_durable", Unit: "ratio", Limit: 2.5, Meaning: "server CPU per unary chat, state on disk"},
	{Name: "chat_valkey_cpu_over_floor", Unit: "ratio", Limit: 2.0, Meaning: "server CPU per unary chat, all state in Valkey"},
	{Name: "chat_rps64_over_floor", Unit: "ratio", Limit: 0.75, AtLeast: true, Meaning: "unary chats per second over 64 connections, cores shared with client and upstream"},
	{Name: "stream_ttft_added_over_floor_ms", Unit: "ms", Limit: 0.5, Meaning: "time to first token, median, 8 streams of 20 tokens 20 ms apart, less the floor's"},
	{Name: "streams1000_cut", Unit: "streams", Limit: 0, Meaning: "streams of 1,000 that ended without all tokens and a final event"},
	{Name: "streams1000_rss_mib", Unit: "MiB", Limit: 130, Meaning: "largest resident memory while 1,000 streams were open"},
	{Name: "stream_cpu_per_token_over_floor", Unit: "ratio", Limit: 1.25, Meaning: "server CPU per token of 1,000 streams of 50 tokens 100 ms apart"},
	{Name: "usage_lost", Unit: "records", Limit: 0, Meaning: "calls and tokens the upstream gave and the store doesn't know, over full load and SIGTERM"},
	{Name: "limit_decisions_over_set", Unit: "ratio", Limit: 0.8, AtLeast: true, Meaning: "rate-limit decisions per second by one window of 60 a minute, granted, over plain SET of 600 bytes through the same client"},
	{Name: "history_p99_ms", Unit: "ms", Limit: 5, Meaning: "history of 20 messages out of 100,000 sessions in Valkey, 99th percentile of 8 readers at once"},
	{Name: "vector_scan_over_read_floor", Unit: "ratio", Limit: 1.5, Meaning: "scan of 100,000 vectors of 768 dimensions over reading as many bytes once, one core"},
	{Name: "search_p50_ms", Unit: "ms", Limit: 5, Meaning: "hybrid search of 100,000 passages in the embedded store, median of 300, one core"},
	{Name: "search_p99_ms", Unit: "ms", Limit: 15, Meaning: "the same, 99th percentile"},
	{Name: "search_recall10", Unit: "share", Limit: 0.99, AtLeast: true, Meaning: "of the 10 nearest by exact numbers, found by a search by vector"},
	{Name: "search_rss_mib", Unit: "MiB", Limit: 600, Meaning: "largest resident memory of that process, loading included"},
	{Name: "search_ready_s", Unit: "s", Limit: 5, Meaning: "opening the store and reading the 100,000 passages anew"},
	{Name: "ingest_chunks_per_s", Unit: "1/s", Limit: 1000, AtLeast: true, Meaning: "passages with vectors given: staged, published on disk and found, 50 a document"},
	{Name: "search_hit_p50_ms", Unit: "ms", Limit: 2, Meaning: "POST /search with an answer out of the cache, state on disk, median of 5,000; the model was asked once"},
	{Name: "tool_dispatch_p50_ms", Unit: "ms", Limit: 0.2, Meaning: "POST /tools/execute with a tool that does next to nothing, less GET /health, median, state on disk"},
	{Name: "runtime_ready_ms", Unit: "ms", Limit: 100, Meaning: "exec to first answer, median of 10"},
	{Name: "runtime_idle_rss_mib", Unit: "MiB", Limit: 25, Meaning: "resident memory of an idle runtime"},
	{Name: "runtime_image_mib", Unit: "MiB", Limit: 30, Meaning: "compressed size of the runtime's image"},
	{Name: "apply_to_ready_s", Unit: "s", Limit: 5, Meaning: "one Tenant on a real node, image present, median of 3"},
	{Name: "live_change_s", Unit: "s", Limit: 5, Meaning: "a limit changed in the spec is in force in the running pod, worst of 3"},
}

// intro says what the figures compare.
const intro = "Ratios compare with the floor (`test/bench/floor`: a bare reverse proxy that reads the request's body first) in the\n" +
	"same run, in alternating rounds; decisions of the limiter with a plain SET through the same client. Everything of the\n" +
	"runtime is on: authentication, rate limit, budget, session store, metrics. Servers of shared state run beside it on\nthe same cores."

func median[T int64 | float64 | time.Duration](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
