-- Counts events in the windows of entities, in the order of the questions, and answers each with the window as it then
-- is. `policy::window` computes the same in memory, says what the numbers below mean and, in `kept`, the bytes.
-- KEYS: for each question, the window of an entity. ARGV: eight bytes that no other call has; then for each question the
-- time in milliseconds, the seconds of the window, and what to do: '' (only look), 'e' (count an event), or a value.
-- Answer: for each question the bytes, or '' where nothing is known.
local EXACT, VALUES, PARTS, KEPT = 64, 128, 16, 17
-- How long a window is kept after it has closed by the clock of Redis: events may be late, or ahead.
local MARGIN = 300000
local SHORT, MOST = 4294967296, 4294967295
local HEAD, TIME, MET, SLOTS = '>c1c8i8', '>I4', '>I4I4', '>i8' .. string.rep('I4', KEPT)
local HEAD_BYTES = 17

local call = ARGV[1]

-- The last time of a window, and what follows its head; none for a window that is new, or of another kind.
local function opened(kept, kind)
    if #kept < HEAD_BYTES or string.sub(kept, 1, 1) ~= kind then return nil, '' end
    local _, _, last = struct.unpack(HEAD, kept)
    return last, string.sub(kept, HEAD_BYTES + 1)
end

-- A time of which four bytes are kept, by a later one near to it.
local function long(short, last)
    return last - (last - short) % SHORT
end

-- Times or values without those that lie before the window: the oldest stand first.
local function within(list, width, last, from)
    local first = 1
    while first <= #list and long(struct.unpack(TIME, list, first + width - 4), last) <= from do
        first = first + width
    end
    return string.sub(list, first)
end

local function count_in_part(slots, at, seconds)
    local part = math.floor(at * PARTS / (seconds * 1000))
    if part > slots[1] then
        for new = math.max(slots[1] + 1, part - PARTS), part do slots[new % KEPT + 2] = 0 end
        slots[1] = part
    end
    if slots[1] - part <= PARTS then
        local place = part % KEPT + 2
        slots[place] = math.min(slots[place] + 1, MOST)
    end
end

-- Counts of a window that holds more times than are kept.
local function slots_of(bytes, times, last, seconds)
    if bytes ~= '' then return { struct.unpack(SLOTS, bytes) } end
    local slots = { math.floor(long(struct.unpack(TIME, times), last) * PARTS / (seconds * 1000)) }
    for place = 2, KEPT + 1 do slots[place] = 0 end
    for first = 1, #times, 4 do
        count_in_part(slots, long(struct.unpack(TIME, times, first), last), seconds)
    end
    return slots
end

local function with_event(kept, at, seconds)
    local last, rest = opened(kept, 'e')
    last = last or at
    at = math.max(at, last)
    local length = 4 * (string.byte(rest) or 0)
    local slots = string.sub(rest, 2 + length)
    local times = within(string.sub(rest, 2, 1 + length), 4, last, at - seconds * 1000)
    if #times < 4 * EXACT then
        slots = ''
    else
        local counts = slots_of(slots, times, last, seconds)
        count_in_part(counts, at, seconds)
        slots = struct.pack(SLOTS, unpack(counts, 1, KEPT + 1))
        times = string.sub(times, 5)
    end
    local head = struct.pack(HEAD, 'e', call, at)
    return head .. string.char(#times / 4 + 1) .. times .. struct.pack(TIME, at % SHORT) .. slots
end

local function with_value(kept, value, at, seconds)
    local last, met = opened(kept, 'v')
    last = last or at
    at = math.max(at, last)
    met = within(met, 8, last, at - seconds * 1000)
    local bytes = struct.pack(TIME, value)
    local found = string.find(met, bytes, 1, true)
    while found and found % 8 ~= 1 do found = string.find(met, bytes, found + 1, true) end
    if found then
        met = string.sub(met, 1, found - 1) .. string.sub(met, found + 8)
    elseif #met >= 8 * VALUES then
        met = string.sub(met, 9)
    end
    return struct.pack(HEAD, 'v', call, at) .. met .. struct.pack(MET, value, at % SHORT)
end

-- Windows that were read, those that this very call has counted in before, its answer having been lost, and those that
-- are to be written, with their seconds.
local known, counted, changed = {}, {}, {}
local answers = {}
for i, key in ipairs(KEYS) do
    local at, seconds, what = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
    local kept = known[key]
    if not kept then
        kept = redis.call('GET', key) or ''
        counted[key] = string.sub(kept, 2, 9) == call
    end
    if what ~= '' and not counted[key] then
        if what == 'e' then
            kept = with_event(kept, at, seconds)
        else
            kept = with_value(kept, tonumber(what), at, seconds)
        end
        changed[key] = seconds
    end
    known[key] = kept
    answers[i] = kept
end
for key, seconds in pairs(changed) do
    redis.call('SET', key, known[key], 'PX', seconds * 1000 + MARGIN)
end
return answers
