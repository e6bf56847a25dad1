# pace.lua by itself, in Redis, with a time that the test makes: three gateways
# take places and give some back, at random, Redis goes away, loses its keys and has
# its time set back.  No time T has more places than docs/pace.md says.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Mojo::File qw(path);
use Mojo::JSON qw(decode_json);

my $redis  = redis_server;
my $store  = path(__FILE__)->to_abs->dirname->sibling('src', 'store');
my $script = $store->child('pace.lua')->slurp;

is($script =~ s/redis\.call\('TIME'\)/{math.floor(TIME \/ 1000000), TIME % 1000000}/, 1, 'its time is the one of the test');

# Places are times in microseconds.  "own" is each gateway's own clock.
my $model = <<"END";
local interval, burst, gateways, steps = tonumber(ARGV[1]), tonumber(ARGV[2]), 3, tonumber(ARGV[4])
local faults = ARGV[5] == '1'
local TIME = 1785000000000000
local function pace(KEYS, ARGV)
$script
end
END
$model .= <<'END';
math.randomseed(tonumber(ARGV[3]))
local tolerance = (burst - 1) * interval
local own, all, away, last = {}, {}, 0, {}
for g = 1, gateways do own[g] = 0 end
local mono, ahead_of_mono = TIME, 0

local function add(g, at, now)
    local place = {g = g, at = at}
    table.insert(all, place)
    table.insert(now, place)
end

local function take(g, key, ahead, want, limit, returned, count)
    return pace({key}, {interval, tolerance, string.format('%.0f', ahead), want, limit, returned, count})
end

local function note(g, reply, base)
    local free, taken, wait = reply[1], reply[2], reply[3]
    local now = {}
    for i = 1, free do add(g, base, now) end
    own[g] = math.max(own[g], base) + free * interval
    if taken == 1 then
        add(g, base + wait, now)
        own[g] = math.max(own[g], base + wait) + interval
    end
    last[g] = {places = now, count = free + taken, clock = string.format('%.0f', reply[4])}
end

for step = 1, steps do
    mono = mono + math.random(0, math.random(1, 4) == 1 and 3 * interval or math.floor(interval / 2))
    local g, want, limit = math.random(gateways), math.random(1, 6), math.random(0, 20) * interval

    if faults and math.random(200) == 1 then away = mono + math.random(1, 50) * interval end
    if faults and math.random(300) == 1 then redis.call('DEL', 'shared') end
    if faults and math.random(300) == 1 then ahead_of_mono = ahead_of_mono - math.random(0, 10) * interval end

    if mono < away then
        TIME = mono
        redis.call('SET', 'own', string.format('%.0f', math.max(own[g], 0)))
        note(g, take(g, 'own', 0, want, limit, 0, 0), mono)
        last[g] = nil
    else
        TIME = mono + ahead_of_mono
        local back = last[g]
        if back and back.count > 0 and math.random(3) == 1 then
            -- what this gateway has taken last goes back, which others may have followed
            own[g] = own[g] - back.count * interval
            take(g, 'shared', math.max(0, own[g] - mono), 0, 0, back.clock, back.count)
            for _, place in ipairs(back.places) do place.returned = true end
            last[g] = nil
        else
            note(g, take(g, 'shared', math.max(0, own[g] - mono), want, limit, 0, 0), mono)
        end
    end
end

-- How far places are ever nearer to each other than burst and interval allow.
local function worst(g)
    local places, worst = {}, 0
    for _, place in ipairs(all) do
        if not place.returned and (g == nil or place.g == g) then table.insert(places, place.at) end
    end
    table.sort(places)
    for i = 1, #places do
        for j = i + burst, #places do
            local short = (j - i + 1 - burst) * interval - (places[j] - places[i])
            if short > worst then worst = short end
        end
    end
    return worst
end

local result = {all = worst(), places = #all, time = mono - 1785000000000000}
for g = 1, gateways do result['of' .. g] = worst(g) end
return cjson.encode(result)
END

sub run ($interval, $burst, $seed, $steps, $faults) {
    $redis->cli('FLUSHALL');
    return decode_json($redis->cli('EVAL', $model, 0, $interval, $burst, $seed, $steps, $faults));
}

my $steps = volume(3000, 600);

for my $case ([600_000, 10], [1_000_000, 1], [200_000, 3], [8_571_429, 2], [10, 50]) {
    my ($interval, $burst) = @$case;
    subtest "an interval of $interval microseconds, a burst of $burst" => sub {
        for my $seed (1 .. 3) {
            my $calm = run($interval, $burst, $seed, $steps, 0);
            is($calm->{all}, 0, "all together keep it ($calm->{places} places)");
            cmp_ok($calm->{places}, '>=', 0.5 * $calm->{time} / $interval, 'and use it');
            my $storm = run($interval, $burst, $seed, $steps, 1);
            is($storm->{"of$_"}, 0, "gateway $_ does, whatever happens") for 1 .. 3;
        }
    };
}

done;
