-- KEYS: index of windows, then a log a window. ARGV from 5: limit, length in
-- nanoseconds and time to live in milliseconds of each window.
local logs, opened, windows = {}, {}, {}
for i = 2, #KEYS do
  local log, err = opened[KEYS[i]], nil
  if not log then
    log, err = open(KEYS[i])
    if err then return err end
    opened[KEYS[i]] = log
    logs[#logs + 1] = log
  end
  local a = 5 + 3 * (i - 2)
  windows[i - 1] = {log = log, limit = tonumber(ARGV[a]), length = tonumber(ARGV[a + 1])}
  log.ttl = math.max(log.ttl or 0, tonumber(ARGV[a + 2]))
end

local now = struct.pack('>I4I4', second, nano)

local function late(log)
  if log.n == 0 then return 0 end
  return math.max(0, -ago(log, log.n - 1))
end

-- advance drops the takes that have run out. If the clock was set back by more than
-- the window, all count as made now.
local function advance(log, length)
  local behind = late(log)
  if behind > length then
    log.bytes = string.rep('\0', HEADER) .. string.rep(now, log.n)
    log.first, log.whole, log.changed, behind = 0, true, true, 0
  end
  while log.n > 0 and ago(log, 0) + behind >= length do
    log.first, log.n, log.changed = log.first + 1, log.n - 1, true
  end
end

local refused, wait, reset = 0, 0, 0
for i, w in ipairs(windows) do
  advance(w.log, w.length)
  local over = w.log.n - w.limit
  if over >= 0 then
    -- When the take at this place runs out, there is room for one.
    local left = w.length - ago(w.log, over)
    if refused == 0 or left > wait then
      refused, wait, reset = i, left, w.length - ago(w.log, w.log.n - 1)
    end
  end
end

local reply = {ARGV[1], refused}
if refused > 0 then
  reply[3], reply[4] = wait, reset
else
  for _, w in ipairs(windows) do
    reply[#reply + 1] = w.log.n
    reply[#reply + 1] = late(w.log)
  end
  for _, w in ipairs(windows) do
    -- A take that came late counts as made with the latest.
    if w.log.tail == '' then
      w.log.take = late(w.log) > 0 and at(w.log, w.log.n - 1) or now
    end
    w.log.tail, w.log.changed = w.log.tail .. w.log.take, true
  end
end

for _, log in ipairs(logs) do
  if log.changed then
    local seconds = math.ceil(log.ttl / 1000)
    local listed = log.listed
    if second + seconds > listed then
      -- The index names the key for longer than it lives, so that it is written
      -- seldom.
      listed = math.min(second + 2 * seconds, 4294967295)
      redis.call('ZADD', KEYS[1], listed, log.key)
      redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. second)
      if redis.call('PTTL', KEYS[1]) < 2 * log.ttl then
        redis.call('PEXPIRE', KEYS[1], 2 * log.ttl)
      end
    end
    save(log, listed, log.ttl)
  end
end
return reply
