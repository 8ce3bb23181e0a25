-- The takes of one window: a header of the tenant (16 bytes), how many takes at the
-- front have run out (4) and until which second the index names this key (4), then 8
-- bytes a take: seconds and nanoseconds since 1970. Times never meet as one number,
-- which would lose nanoseconds; only their distances do. Short logs are read and
-- written whole, long ones only at their ends.
local HEADER, SMALL = 24, 24 + 8 * 128
local tenant, second, nano = ARGV[2], 0, 0

local function open(key)
  local log = {key = key, first = 0, n = 0, listed = 0, tail = '', whole = true}
  log.bytes = redis.call('GETRANGE', key, 0, SMALL - 1)
  local size = #log.bytes
  if size == 0 then
    log.bytes = string.rep('\0', HEADER)
    return log
  end
  if string.sub(log.bytes, 1, 16) ~= tenant then
    return nil, redis.error_reply('FOREIGN the key holds another tenant\'s window')
  end
  log.first, log.listed = struct.unpack('>I4I4', log.bytes, 17)
  if size == SMALL then
    size, log.whole = redis.call('STRLEN', key), false
  end
  log.n = (size - HEADER) / 8 - log.first
  return log
end

local function at(log, i)
  local from = HEADER + 8 * (log.first + i)
  if from + 8 <= #log.bytes then
    return string.sub(log.bytes, from + 1, from + 8)
  end
  return redis.call('GETRANGE', log.key, from, from + 7)
end

-- ago is by how many nanoseconds a take lies before now.
local function ago(log, i)
  local s, n = struct.unpack('>I4I4', at(log, i))
  return (second - s) * 1e9 + (nano - n)
end

local function save(log, listed, ttl)
  local head = tenant
  if log.whole then
    local body = string.sub(log.bytes, HEADER + 8 * log.first + 1) .. log.tail
    if body == '' then
      redis.call('UNLINK', log.key)
    else
      redis.call('SET', log.key, head .. struct.pack('>I4I4', 0, listed) .. body, 'PX', ttl)
    end
  elseif log.first > log.n then
    -- More has run out than is left: what is left moves to the front.
    local body = redis.call('GETRANGE', log.key, HEADER + 8 * log.first, -1) .. log.tail
    redis.call('SET', log.key, head .. struct.pack('>I4I4', 0, listed) .. body, 'PX', ttl)
  else
    redis.call('SETRANGE', log.key, 16, struct.pack('>I4I4', log.first, listed))
    if log.tail ~= '' then
      redis.call('APPEND', log.key, log.tail)
    end
    redis.call('PEXPIRE', log.key, ttl)
  end
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

-- list has the index name a log for longer than it lives, so that it is written seldom.
local function list(index, log)
  local seconds = math.ceil(log.ttl / 1000)
  if second + seconds <= log.listed then return log.listed end
  local listed = math.min(second + 2 * seconds, 4294967295)
  redis.call('ZADD', index, listed, log.key)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. second)
  if redis.call('PTTL', index) < 2 * log.ttl then
    redis.call('PEXPIRE', index, 2 * log.ttl)
  end
  return listed
end
