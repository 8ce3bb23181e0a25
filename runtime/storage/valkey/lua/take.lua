-- Takes that came together, each decided by itself.
-- ARGV: 3 for how many milliseconds the windows must be kept, as a double, and for each
-- take its time in 8 bytes, how many windows it has in one, and of each the limit and the
-- length in nanoseconds as doubles, all in one, since words cost time too. From 4: the
-- windows' fields.
-- Returns for each take which window refuses (0 = none), and either how long to wait
-- and until it is empty, or how many takes each window had and by how much now was late.
local args, sub = ARGV, string.sub
local asked = args[3]
local kept, p = unpack('<d', asked)
local reply, r, k = {args[1]}, 1, 4
local now

-- whole decides by windows in any state.
local function whole(windows)
  local logs, opened, limits = {}, {}, {}
  for i = 1, windows do
    local field, log, err = args[k + i - 1], nil, nil
    log = opened[field]
    if not log then
      log, err = open(field)
      if err then return err end
      opened[field] = log
      logs[#logs + 1] = log
    end
    local limit, length = unpack('<dd', asked, p + 16 * i - 16)
    limits[i] = {log = log, limit = limit, length = length}
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
  reply[r + 1] = refused
  if refused > 0 then
    reply[r + 2], reply[r + 3] = wait, reset
    r = r + 3
  else
    for i, w in ipairs(limits) do
      reply[r + 2 * i], reply[r + 2 * i + 1] = w.log.n, late(w.log)
    end
    r = r + 1 + 2 * windows
    for _, w in ipairs(limits) do
      -- A take that came late counts as made with the latest.
      if w.log.tail == '' then
        w.log.take = late(w.log) > 0 and at(w.log, w.log.n - 1) or now
      end
      w.log.tail, w.log.changed = w.log.tail .. w.log.take, true
    end
  end
  for _, log in ipairs(logs) do
    if log.changed then save(log, kept) end
  end
end

-- short decides by windows that are in the hash, as nearly all are, without a table for
-- each. It returns false before it has written anything if one isn't.
local bytes, from, had, behind = {}, {}, {}, {}
local function short(windows, limit, length)
  local refused, wait, reset = 0, 0, 0
  for i = 1, windows do
    if i > 1 then limit, length = unpack('<dd', asked, p + 16 * i - 16) end
    local b = rows[args[k + i - 1]]
    local size = b and #b or 0
    if size == 0 or size == 8 * MANY then return false end
    local s, n = unpack('>I4I4', b, size - 7)
    local latest = (second - s) * 1e9 + (nano - n)
    local late = latest < 0 and -latest or 0
    if late > length then return false end
    s, n = unpack('>I4I4', b)
    local first, start = (second - s) * 1e9 + (nano - n), 0
    while first + late >= length do
      start = start + 8
      if start == size then break end
      s, n = unpack('>I4I4', b, start + 1)
      first = (second - s) * 1e9 + (nano - n)
    end
    local count = (size - start) / 8
    if count >= limit then
      if count > limit then
        s, n = unpack('>I4I4', b, start + 1 + 8 * (count - limit))
        first = (second - s) * 1e9 + (nano - n)
      end
      local left = length - first
      if refused == 0 or left > wait then
        refused, wait, reset = i, left, length - latest
      end
    end
    bytes[i], from[i], had[i], behind[i] = b, start, count, late
  end
  reply[r + 1] = refused
  if refused > 0 then
    reply[r + 2], reply[r + 3] = wait, reset
    r = r + 3
    for i = 1, windows do
      if from[i] > 0 then put(args[k + i - 1], sub(bytes[i], from[i] + 1)) end
    end
    return true
  end
  for i = 1, windows do
    local b, start, late = bytes[i], from[i], behind[i]
    reply[r + 2], reply[r + 3] = had[i], late
    r = r + 2
    local take = late > 0 and sub(b, -8) or now
    put(args[k + i - 1], start > 0 and sub(b, start + 1) .. take or b .. take)
  end
  r = r + 1
  return true
end

local err = load()
if err then return err end
while k <= #args do
  local windows, limit, length
  now = sub(asked, p, p + 7)
  second, nano, windows, limit, length = unpack('>I4I4I1<dd', asked, p)
  p = p + 9
  if not short(windows, limit, length) then
    err = whole(windows)
    if err then return err end
  end
  k, p = k + windows, p + 16 * windows
end
flush(kept)
return reply
