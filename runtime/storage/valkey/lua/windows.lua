-- The windows of a tenant are one hash, so that those of many callers are read by one
-- command and written by one. Its field '' holds the tenant (16 bytes) and for how many
-- milliseconds a window must be kept after its last take; the others, of one window
-- each, hold 8 bytes a take, oldest first: seconds and nanoseconds since 1970. A window
-- of many takes has a log of its own instead, and an empty field or none.
-- The hash lives for twice as long as a window must. Once half of that has gone it
-- becomes the hash before, in which windows are looked up for as long as they count, and
-- another is begun: none runs out early, and what isn't used goes without being looked for.
-- KEYS: hash, hash before, index of logs. ARGV from 4: fields.
local call, spread, unpack = redis.call, unpack, struct.unpack
local HASH, BEFORE = KEYS[1], KEYS[2]
local tenant, rows, life = ARGV[2], {}, 0
local changed, place, begun = {}, {}, false

local function owned(head)
  if string.sub(head, 1, 16) ~= tenant then
    return redis.error_reply('FOREIGN the key holds another tenant\'s windows')
  end
  life = math.max(life, (unpack('<d', head, 17)))
end

-- load reads the rows of all fields, and returns an error if they aren't the tenant's.
local function load()
  local have, missing = call('HMGET', HASH, '', spread(ARGV, 4)), {}
  if have[1] then
    local err = owned(have[1])
    if err then return err end
    begun = call('PTTL', HASH) > life
    if not begun then
      call('UNLINK', BEFORE)
      call('RENAME', HASH, BEFORE)
    end
  end
  for i = 4, #ARGV do
    local row = have[i - 2]
    if row then
      rows[ARGV[i]] = row
    else
      missing[#missing + 1] = ARGV[i]
    end
  end
  if #missing == 0 or have[1] and not begun then return end
  have = call('HMGET', BEFORE, '', spread(missing))
  if not have[1] then return end
  for i, field in ipairs(missing) do
    rows[field] = have[i + 1]
  end
  return owned(have[1])
end

local function put(field, row)
  local i = place[field]
  if not i then
    i = #changed + 2
    place[field], changed[i - 1] = i, field
  end
  rows[field], changed[i] = row, row
end

-- flush writes what was put. kept is for how many milliseconds that must be kept; a hash
-- keeps all as long as the longest.
local function flush(kept)
  local n = #changed
  if n == 0 then return end
  if begun and kept <= life then
    call('HSET', HASH, spread(changed))
    return
  end
  life = math.max(life, kept)
  changed[n + 1], changed[n + 2] = '', tenant .. struct.pack('<d', life)
  call('HSET', HASH, spread(changed))
  call('PEXPIRE', HASH, 2 * life)
end
