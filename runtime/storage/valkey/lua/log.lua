-- A window in any state. Its own log, if it has one, is a header of the tenant (16
-- bytes), how many takes at the front have run out (4) and until which second the index
-- names this key (4), then 8 bytes a take. Times never meet as one number, which would
-- lose nanoseconds; only their distances do. Logs are read whole up to MANY takes, longer
-- ones only at their ends; one that has shrunk to FEW goes back into the hash.
local HEADER, MANY, FEW = 24, 128, 64
local second, nano = 0, 0

local function open(field)
  local log = {field = field, first = 0, n = 0, listed = 0, tail = '', whole = true}
  local row = rows[field]
  if row and row ~= '' then
    log.bytes, log.n = string.rep('\0', HEADER) .. row, #row / 8
    return log
  end
  -- The log is named after the hash and the field, so it lies in the same slot.
  log.key = string.sub(HASH, 1, -2) .. ':' .. field
  log.bytes = call('GETRANGE', log.key, 0, HEADER + 8 * MANY - 1)
  local size = #log.bytes
  if size == 0 then
    log.bytes = string.rep('\0', HEADER)
    return log
  end
  if string.sub(log.bytes, 1, 16) ~= tenant then
    return nil, redis.error_reply('FOREIGN the key holds another tenant\'s window')
  end
  log.long = true
  log.first, log.listed = unpack('>I4I4', log.bytes, 17)
  if size == HEADER + 8 * MANY then
    size, log.whole = call('STRLEN', log.key), false
  end
  log.n = (size - HEADER) / 8 - log.first
  return log
end

local function at(log, i)
  local from = HEADER + 8 * (log.first + i)
  if from + 8 <= #log.bytes then
    return string.sub(log.bytes, from + 1, from + 8)
  end
  return call('GETRANGE', log.key, from, from + 7)
end

-- ago is by how many nanoseconds a take lies before now.
local function ago(log, i)
  local s, n = unpack('>I4I4', at(log, i))
  return (second - s) * 1e9 + (nano - n)
end

-- list has the index name a log for longer than it lives, so that it is written seldom.
local function list(log, ttl)
  local seconds = math.ceil(ttl / 1000)
  if second + seconds <= log.listed then return log.listed end
  local index, listed = KEYS[3], math.min(second + 2 * seconds, 4294967295)
  call('ZADD', index, listed, log.key)
  call('ZREMRANGEBYSCORE', index, '-inf', '(' .. second)
  if call('PTTL', index) < 2 * ttl then
    call('PEXPIRE', index, 2 * ttl)
  end
  return listed
end

local function save(log, ttl)
  local from, n = HEADER + 8 * log.first, log.n + #log.tail / 8
  local function body()
    return (log.whole and string.sub(log.bytes, from + 1) or call('GETRANGE', log.key, from, -1)) .. log.tail
  end
  if n <= (log.long and FEW or MANY) then
    put(log.field, body())
    if log.long then call('UNLINK', log.key) end
    return
  end
  log.key = log.key or string.sub(HASH, 1, -2) .. ':' .. log.field
  local listed = list(log, ttl)
  if log.long and not log.whole and log.first <= log.n then
    call('SETRANGE', log.key, 16, struct.pack('>I4I4', log.first, listed))
    if log.tail ~= '' then
      call('APPEND', log.key, log.tail)
    end
    call('PEXPIRE', log.key, ttl)
    return
  end
  -- What is left moves to the front.
  call('SET', log.key, tenant .. struct.pack('>I4I4', 0, listed) .. body(), 'PX', ttl)
  if not log.long then put(log.field, '') end
end

local function late(log)
  if log.n == 0 then return 0 end
  return math.max(0, -ago(log, log.n - 1))
end

-- advance drops the takes that have run out. If the clock was set back by more than
-- the window, all count as made now.
local function advance(log, length, now)
  local behind = late(log)
  if behind > length then
    log.bytes = string.rep('\0', HEADER) .. string.rep(now, log.n)
    log.first, log.whole, log.changed, behind = 0, true, true, 0
  end
  while log.n > 0 and ago(log, 0) + behind >= length do
    log.first, log.n, log.changed = log.first + 1, log.n - 1, true
  end
end
