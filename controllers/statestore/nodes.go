package statestore

import (
	"context"
	"net"
	"slices"
	"strings"
)

// node is one server process.
type node struct {
	addr   string
	master bool
}

// nodes are all that tenants may be sent to: masters first, then replicas. The server
// itself is asked each time, since failovers and scaling change them.
func (v *valkeyServer) nodes(ctx context.Context) ([]node, error) {
	var last error
	for _, seed := range v.address.hosts {
		var found []node
		var err error
		if v.address.master != "" {
			found, err = v.watched(ctx, seed)
		} else {
			found, err = v.around(ctx, seed)
		}
		if err == nil {
			slices.SortStableFunc(found, func(a, b node) int {
				switch {
				case a.master == b.master:
					return strings.Compare(a.addr, b.addr)
				case a.master:
					return -1
				}
				return 1
			})
			return found, nil
		}
		last = v.explain(seed, err)
	}
	return nil, last
}

// around asks a server for those that belong to it.
func (v *valkeyServer) around(ctx context.Context, seed string) ([]node, error) {
	info, err := v.info(ctx, seed, "cluster")
	if err != nil {
		return nil, err
	}
	if info["cluster_enabled"] == "1" {
		return v.cluster(ctx, seed)
	}
	if info, err = v.info(ctx, seed, "replication"); err != nil {
		return nil, err
	}
	master := seed
	if info["role"] != "master" {
		master = net.JoinHostPort(info["master_host"], info["master_port"])
		if info, err = v.info(ctx, master, "replication"); err != nil {
			return nil, err
		}
	}
	out := []node{{master, true}}
	for name, value := range info {
		if !strings.HasPrefix(name, "slave") || !strings.HasPrefix(value, "ip=") {
			continue
		}
		fields := map[string]string{}
		for f := range strings.SplitSeq(value, ",") {
			k, v, _ := strings.Cut(f, "=")
			fields[k] = v
		}
		out = append(out, node{addr: net.JoinHostPort(fields["ip"], fields["port"])})
	}
	return out, nil
}

func (v *valkeyServer) info(ctx context.Context, addr, section string) (map[string]string, error) {
	m, err := v.do(ctx, addr, "INFO", section)
	if err != nil {
		return nil, err
	}
	text, err := m.ToString()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out, nil
}

// cluster reads CLUSTER NODES: id, ip:port@bus[,hostname], flags and more. A node that the
// cluster has given up is left out; it is looked at when it is back.
func (v *valkeyServer) cluster(ctx context.Context, seed string) ([]node, error) {
	m, err := v.do(ctx, seed, "CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	text, err := m.ToString()
	if err != nil {
		return nil, err
	}
	var out []node
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		flags := strings.Split(fields[2], ",")
		if slices.Contains(flags, "noaddr") || slices.Contains(flags, "handshake") || slices.Contains(flags, "fail") {
			continue
		}
		addr, _, _ := strings.Cut(fields[1], "@")
		if strings.HasPrefix(addr, ":") && slices.Contains(flags, "myself") {
			addr = seed // it doesn't know its own address yet
		}
		host, port, ok := cutLast(addr, ":")
		if !ok {
			continue
		}
		if addr != seed {
			addr = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		out = append(out, node{addr, slices.Contains(flags, "master")})
	}
	return out, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// watched asks a sentinel for the master and its replicas.
func (v *valkeyServer) watched(ctx context.Context, sentinel string) ([]node, error) {
	ask := func(command ...string) (found []map[string]string, err error) {
		m, err := v.doAs(ctx, sentinel, v.address.sentinelUser, v.address.sentinelPassword, 0, command...)
		if err != nil {
			return nil, err
		}
		list, err := m.ToArray()
		if err != nil {
			return nil, err
		}
		for i := range list {
			fields, err := list[i].AsStrMap()
			if err != nil {
				return nil, err
			}
			found = append(found, fields)
		}
		return found, nil
	}
	m, err := v.doAs(ctx, sentinel, v.address.sentinelUser, v.address.sentinelPassword, 0, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", v.address.master)
	if err != nil {
		return nil, err
	}
	master, err := m.AsStrSlice()
	if err != nil || len(master) != 2 {
		return nil, err
	}
	out := []node{{net.JoinHostPort(master[0], master[1]), true}}
	replicas, err := ask("SENTINEL", "REPLICAS", v.address.master)
	if err != nil {
		return nil, err
	}
	for _, r := range replicas {
		if !strings.Contains(r["flags"], "s_down") && !strings.Contains(r["flags"], "disconnected") {
			out = append(out, node{addr: net.JoinHostPort(r["ip"], r["port"])})
		}
	}
	return out, nil
}
