-- A budget is the tenant, what is used, what is reserved and when its record may go
-- (milliseconds since 1970, 0 = never), parted by spaces.
-- KEYS: index of budgets, then one a budget. ARGV from 4: name, when it may go, and two
-- numbers each.
local tenant, rows = ARGV[2], {}

local function row(i)
  local key, a = KEYS[i], 4 + 4 * (i - 2)
  if rows[key] then return rows[key] end
  local r = {key = key, name = ARGV[a], gone = ARGV[a + 1], used = {0, 0}, reserved = {0, 0}}
  local value = redis.call('GET', key)
  if value then
    if string.sub(value, 1, 16) ~= tenant then
      return nil, redis.error_reply('FOREIGN the key holds another tenant\'s budget')
    end
    local used, reserved, gone = string.match(value, '^(%d+) (%d+) (%d+)$', 17)
    r.used, r.reserved, r.gone, r.old = number(used), number(reserved), gone, true
  end
  rows[key] = r
  return r
end

local function list(r)
  local index = KEYS[1]
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. ARGV[3])
  redis.call('ZADD', index, r.gone == '0' and '+inf' or r.gone, r.name)
  if r.gone == '0' then
    redis.call('PERSIST', index)
    return
  end
  local ends = redis.call('PEXPIRETIME', index)
  if ends >= 0 and ends < tonumber(r.gone) or ends < 0 and redis.call('ZCARD', index) == 1 then
    redis.call('PEXPIREAT', index, r.gone)
  end
end

local function save(r)
  local value = tenant .. digits(r.used) .. ' ' .. digits(r.reserved) .. ' ' .. r.gone
  if not r.old then list(r) end
  if r.gone == '0' then
    redis.call('SET', r.key, value)
  else
    redis.call('SET', r.key, value, 'PXAT', r.gone)
  end
end
