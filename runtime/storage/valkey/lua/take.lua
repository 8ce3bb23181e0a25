-- Takes that came together, each decided by itself.
-- KEYS: index of windows, then a log a window of each take. ARGV from 3, for each take:
-- its time in 8 bytes as in a log, and of each window limit, length in nanoseconds and
-- time to live in milliseconds as doubles, all in one, since words cost time too.
-- Returns for each take which window refuses (0 = none), and either how long to wait
-- and until it is empty, or how many takes each window had and by how much now was late.
local keys, args, call, unpack, sub = KEYS, ARGV, redis.call, struct.unpack, string.sub
local reply, k = {args[1]}, 2
local asked, now

-- whole decides by logs in any state.
local function whole(windows)
  local logs, opened, limits = {}, {}, {}
  for i = 0, windows - 1 do
    local key, log, err = keys[k + i], nil, nil
    log = opened[key]
    if not log then
      log, err = open(key)
      if err then return err end
      opened[key] = log
      logs[#logs + 1] = log
    end
    local limit, length, ttl = unpack('<ddd', asked, 9 + 24 * i)
    limits[i + 1] = {log = log, limit = limit, length = length}
    log.ttl = math.max(log.ttl or 0, ttl)
  end
  local refused, wait, reset = 0, 0, 0
  for i, w in ipairs(limits) do
    advance(w.log, w.length, now)
    local over = w.log.n - w.limit
    if over >= 0 then
      -- When the take at this place runs out, there is room for one.
      local left = w.length - ago(w.log, over)
      if refused == 0 or left > wait then
        refused, wait, reset = i, left, w.length - ago(w.log, w.log.n - 1)
      end
    end
  end
  reply[#reply + 1] = refused
  if refused > 0 then
    reply[#reply + 1], reply[#reply + 2] = wait, reset
  else
    for _, w in ipairs(limits) do
      reply[#reply + 1], reply[#reply + 2] = w.log.n, late(w.log)
    end
    for _, w in ipairs(limits) do
      -- A take that came late counts as made with the latest.
      if w.log.tail == '' then
        w.log.take = late(w.log) > 0 and at(w.log, w.log.n - 1) or now
      end
      w.log.tail, w.log.changed = w.log.tail .. w.log.take, true
    end
  end
  for _, log in ipairs(logs) do
    if log.changed then
      save(log, list(keys[1], log), log.ttl)
    end
  end
end

-- short decides by short logs that the index names for long enough, which are nearly
-- all, without a table for each. It returns false before it has written anything if
-- one isn't.
local bytes, from, had, behind, life = {}, {}, {}, {}, {}
local function short(windows)
  local refused, wait, reset = 0, 0, 0
  for i = 1, windows do
    local limit, length, ttl = unpack('<ddd', asked, 24 * i - 15)
    local b = call('GETRANGE', keys[k + i - 1], 0, SMALL - 1)
    local size = #b
    if size <= HEADER or size == SMALL then return false end
    local whose, _, listed, s, n = unpack('>c16I4I4I4I4', b)
    if whose ~= tenant or second + ttl / 1000 > listed then return false end
    local first = (second - s) * 1e9 + (nano - n)
    s, n = unpack('>I4I4', b, size - 7)
    local latest = (second - s) * 1e9 + (nano - n)
    local late = latest < 0 and -latest or 0
    if late > length then return false end
    local start = HEADER
    while first + late >= length do
      start = start + 8
      if start == size then break end
      s, n = unpack('>I4I4', b, start + 1)
      first = (second - s) * 1e9 + (nano - n)
    end
    local count = (size - start) / 8
    if count >= limit then
      s, n = unpack('>I4I4', b, start + 1 + 8 * (count - limit))
      local left = length - (second - s) * 1e9 - (nano - n)
      if refused == 0 or left > wait then
        refused, wait, reset = i, left, length - latest
      end
    end
    bytes[i], from[i], had[i], behind[i], life[i] = b, start, count, late, ttl
  end
  local r = #reply
  reply[r + 1] = refused
  if refused > 0 then
    reply[r + 2], reply[r + 3] = wait, reset
  end
  for i = 1, windows do
    local b, start, key, ttl = bytes[i], from[i], keys[k + i - 1], life[i]
    local take = ''
    if refused == 0 then
      reply[r + 2 * i], reply[r + 2 * i + 1] = had[i], behind[i]
      take = behind[i] > 0 and sub(b, -8) or now
    end
    if start == HEADER then
      if take ~= '' then call('SET', key, b .. take, 'PX', ttl) end
    elseif start == #b and take == '' then
      call('UNLINK', key)
    else
      call('SET', key, sub(b, 1, HEADER) .. sub(b, start + 1) .. take, 'PX', ttl)
    end
  end
  return true
end

for a = 3, #args do
  asked = args[a]
  now = sub(asked, 1, 8)
  second, nano = unpack('>I4I4', now)
  local windows = (#asked - 8) / 24
  if not short(windows) then
    local err = whole(windows)
    if err then return err end
  end
  k = k + windows
end
return reply
