-- One request asks several limits; all of them are charged, or none is.
-- KEYS: the limits. ARGV: for each, what the request costs and what the limit holds, in microseconds, and its rate in
-- units a minute. A limit is kept as the microsecond at which it is full again, and the rate that this was counted with.
-- Answer: the first limit that refuses (0: none), the microseconds to wait, and for each limit those until it is full.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local refused, wait = 0, 0
local full_in, cost, rate = {}, {}, {}
for i, key in ipairs(KEYS) do
    cost[i] = tonumber(ARGV[3 * i - 2])
    local capacity = tonumber(ARGV[3 * i - 1])
    rate[i] = tonumber(ARGV[3 * i])
    full_in[i] = 0
    local full_at, counted = string.match(redis.call('GET', key) or '', '^(%d+):(%d+)$')
    if full_at then
        local left = math.max(tonumber(full_at) - now, 0)
        -- As much is used as before; at another rate it takes another time to come back.
        if tonumber(counted) ~= rate[i] then left = math.ceil(left * tonumber(counted) / rate[i]) end
        full_in[i] = math.min(left, capacity)
    end
    local over = full_in[i] + cost[i] - capacity
    if over > 0 then
        if refused == 0 then refused = i end
        wait = math.max(wait, over)
    end
end
if refused == 0 then
    for i, key in ipairs(KEYS) do
        full_in[i] = full_in[i] + cost[i]
        local kept = string.format('%.0f:%.0f', now + full_in[i], rate[i])
        redis.call('SET', key, kept, 'PX', string.format('%.0f', math.ceil(full_in[i] / 1000) + 1))
    end
end
return { refused, wait, unpack(full_in) }
