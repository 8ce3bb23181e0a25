-- Takes that came together, each decided by itself.
-- KEYS: index of windows, then a log a window of each take. ARGV from 3, for each take:
-- seconds, nanoseconds, how many windows, and of each limit, length in nanoseconds and
-- time to live in milliseconds.
-- Returns for each take which window refuses (0 = none), and either how long to wait
-- and until it is empty, or how many takes each window had and by how much now was late.
local reply, k, a = {ARGV[1]}, 2, 3
local now

-- whole decides by logs in any state.
local function whole(windows)
  local logs, opened, asked = {}, {}, {}
  for i = 0, windows - 1 do
    local key, log, err = KEYS[k + i], nil, nil
    log = opened[key]
    if not log then
      log, err = open(key)
      if err then return err end
      opened[key] = log
      logs[#logs + 1] = log
    end
    local at = a + 3 + 3 * i
    asked[i + 1] = {log = log, limit = tonumber(ARGV[at]), length = tonumber(ARGV[at + 1])}
    log.ttl = math.max(log.ttl or 0, tonumber(ARGV[at + 2]))
  end
  local refused, wait, reset = 0, 0, 0
  for i, w in ipairs(asked) do
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
    for _, w in ipairs(asked) do
      reply[#reply + 1], reply[#reply + 2] = w.log.n, late(w.log)
    end
    for _, w in ipairs(asked) do
      -- A take that came late counts as made with the latest.
      if w.log.tail == '' then
        w.log.take = late(w.log) > 0 and at(w.log, w.log.n - 1) or now
      end
      w.log.tail, w.log.changed = w.log.tail .. w.log.take, true
    end
  end
  for _, log in ipairs(logs) do
    if log.changed then
      save(log, list(KEYS[1], log), log.ttl)
    end
  end
end

-- short decides by short logs that the index names for long enough, which are nearly
-- all, without a table for each. It returns false before it has written anything if
-- one isn't.
local bytes, had, behind = {}, {}, {}
local function short(windows)
  local refused, wait, reset = 0, 0, 0
  for i = 1, windows do
    local p = a + 3 * i
    local limit, length = tonumber(ARGV[p]), tonumber(ARGV[p + 1])
    local b = redis.call('GETRANGE', KEYS[k + i - 1], 0, SMALL - 1)
    local size = #b
    if size <= HEADER or size == SMALL then return false end
    local whose, _, listed, s, n = struct.unpack('>c16I4I4I4I4', b)
    if whose ~= tenant or second + ARGV[p + 2] / 1000 > listed then return false end
    local first = (second - s) * 1e9 + (nano - n)
    s, n = struct.unpack('>I4I4', b, size - 7)
    local latest = (second - s) * 1e9 + (nano - n)
    local late = latest < 0 and -latest or 0
    if late > length then return false end
    local count, gone = (size - HEADER) / 8, 0
    while first + late >= length do
      gone = gone + 1
      if gone == count then break end
      s, n = struct.unpack('>I4I4', b, HEADER + 1 + 8 * gone)
      first = (second - s) * 1e9 + (nano - n)
    end
    if gone > 0 then
      b = string.sub(b, 1, HEADER) .. string.sub(b, HEADER + 1 + 8 * gone)
      count = count - gone
    end
    if count >= limit then
      if gone > 0 then return false end
      s, n = struct.unpack('>I4I4', b, HEADER + 1 + 8 * (count - limit))
      local left = length - (second - s) * 1e9 - (nano - n)
      if refused == 0 or left > wait then
        refused, wait, reset = i, left, length - latest
      end
    elseif refused > 0 and gone > 0 then
      return false
    end
    bytes[i], had[i], behind[i] = b, count, late
  end
  local r = #reply
  reply[r + 1] = refused
  if refused > 0 then
    reply[r + 2], reply[r + 3] = wait, reset
    return true
  end
  for i = 1, windows do
    reply[r + 2 * i], reply[r + 2 * i + 1] = had[i], behind[i]
    local take = behind[i] > 0 and string.sub(bytes[i], -8) or now
    redis.call('SET', KEYS[k + i - 1], bytes[i] .. take, 'PX', ARGV[a + 3 * i + 2])
  end
  return true
end

while a <= #ARGV do
  local windows = tonumber(ARGV[a + 2])
  second, nano = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  now = struct.pack('>I4I4', second, nano)
  if not short(windows) then
    local err = whole(windows)
    if err then return err end
  end
  k, a = k + windows, a + 3 + 3 * windows
end
return reply
