-- Whole numbers from 0 to 2^63-1 and their sums, exact: a pair of the billions and the
-- rest, since one Lua number is exact only up to 2^53.
local MOST = {9223372036, 854775807}

local function number(digits)
  digits = string.rep('0', 19 - #digits) .. digits
  return {tonumber(string.sub(digits, 1, 10)), tonumber(string.sub(digits, 11))}
end

local function digits(n)
  if n[1] == 0 then return string.format('%d', n[2]) end
  return string.format('%d%09d', n[1], n[2])
end

local function exceeds(a, b)
  return a[1] > b[1] or a[1] == b[1] and a[2] > b[2]
end

local function sum(a, b)
  local high, low = a[1] + b[1], a[2] + b[2]
  if low >= 1e9 then high, low = high + 1, low - 1e9 end
  return {high, low}
end

-- less is a - b, 0 if b is greater.
local function less(a, b)
  if exceeds(b, a) then return {0, 0} end
  local high, low = a[1] - b[1], a[2] - b[2]
  if low < 0 then high, low = high - 1, low + 1e9 end
  return {high, low}
end

-- bound stays at the most that can be counted.
local function bound(n)
  if exceeds(n, MOST) then return MOST end
  return n
end
