# Many operations, each sent several times at once in random order, through two
# gateways on one Redis: as many messages as operations.  First in peace, with the
# sandbox's own dedup off; then while Redis and the gateways go through all that
# may happen to them.

use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Storm;
use Chatmaid::Test::World qw(at_most);
use List::Util qw(max shuffle sum0);
use Time::HiRes qw(time);

my $copies = 5;
my $api    = sandbox(dedup => 0);
my $redis  = redis_server(args => [qw(--appendonly yes --appendfsync always)]);

sub gateways ($name, $timeout) {
    return map { nginx(name => $name . $_, workers => 2, error_log => 'notice', gateway => 'chatmaid_sender +15550100001;',
        upstream => 'keepalive 256;', internal => 'proxy_connect_timeout 20s;',
        http     => 'chatmaid_redis ' . $redis->url . " timeout=$timeout; chatmaid_retries 0;") } 1, 2;
}

# Of operations that have begun since then: of others Redis may not know the end.
sub open_claims ($since) {
    return $redis->count_records('*:op:*', 'in_flight', 1000 * $since);
}

# Each worker is connected, and none is left of before a reload.
sub settled (@gateways) {
    return !(grep { my %all = $_->children; keys %all != 2 } @gateways)
        && (() = $redis->cli(qw(CLIENT LIST TYPE normal)) =~ /^id=/mg) == 2 * @gateways + 1;
}

sub clients ($name, $count) { storm_clients($name, $count, $copies) }


subtest 'in peace' => sub {
    my @gateways   = gateways('calm', '30s');
    my $operations = volume(1000, 20);
    my @clients    = shuffle clients('calm', $operations);
    my $start      = time;
    storm(\@clients, \@gateways, 60);

    my $all = by_operation(@clients);
    my @answers = map { @{$_->{answers}} } @clients;
    is(scalar(grep { $_->{status} == 201 } @answers), $operations * $copies, 'all are answered with 201, at once');
    is($api->made, $operations, 'as many messages as operations');
    my $alike = grep { my %bodies = map { $_->{answers}[-1]{body} => 1 } @$_; keys %bodies == 1 } values %$all;
    is($alike, $operations, 'all answers of an operation are the same bytes');
    is(scalar(grep { !$_->{headers}{'idempotent-replayed'} } @answers), $operations, 'one of each is no replay');
    $_->quit for @gateways;
    note(sprintf '%d operations, each %d times, in %.1f s', $operations, $copies, time - $start);
};


my @gateways = gateways('storm', '2s');
my $after    = sub ($seconds) { sub ($fault, $passed) { $passed > $seconds } };

my @faults = (
    {name => 'before', calm => 1},
    {name => 'Redis is killed and started again',
        break => sub ($fault) { $redis->kill('KILL') },
        step  => sub ($fault, $passed) { $passed > 1 && !$redis->alive && $redis->start }},
    {name => 'Redis is stopped for four seconds',
        break => sub ($fault) { $redis->kill('STOP') },
        step  => sub ($fault, $passed) { $passed > 4 && $redis->kill('CONT') }},
    {name => 'Redis sleeps',
        break => sub ($fault) { $fault->{sleep} = process('sleep', command => ['redis-cli', '-s', $redis->socket, qw(DEBUG SLEEP 4)]) },
        step  => sub ($fault, $passed) { !$fault->{sleep}->alive }},
    {name => 'its connections are killed',
        break => sub ($fault) { $fault->{killed} = 0 },
        step  => sub ($fault, $passed) {
            $redis->cli(qw(CLIENT KILL TYPE normal)) if $passed > 0.05 * $fault->{killed} && ++$fault->{killed};
            $passed > 1.5;
        }},
    {name => 'the gateways are reloaded',
        break => sub ($fault) { $_->reload for @gateways },
        step  => $after->(0)},
    {name => 'the gateways are reloaded while Redis is away',
        break => sub ($fault) { $redis->kill('KILL'); $_->reload for @gateways },
        step  => sub ($fault, $passed) { !$redis->alive && $redis->start }},
    {name => 'afterwards', calm => 1},
);

subtest 'in a storm' => sub {
    $api->reset;
    $api->config(dedup => 1);
    $redis->cli('FLUSHALL');

    my $operations = volume(1000, 24);
    my $share      = int($operations / @faults);
    my $enough     = volume(50);
    @$_{qw(enough open)} = ($enough, \&open_claims) for @faults;
    my $start      = time;
    my (@all, @outside);
    for my $i (0 .. $#faults) {
        my $count   = $i ? $share : $operations - $share * $#faults;
        my @clients = shuffle clients("storm$i", $count);
        wait_for(sub { settled(@gateways) }, 'calm');   # else claims are in the zones, before the fault
        storm(\@clients, \@gateways, volume(150, 20), $faults[$i]);
        push @all, @clients;
        push @outside, values %{by_operation(@clients)} if $faults[$i]{calm};
        note(sprintf '%s: %s claims open; %d requests of %d clients, the slowest took %.1f s', $faults[$i]{name}, $faults[$i]{claims} // '-',
            sum0(map { scalar @{$_->{answers}} } @clients), scalar @clients, max(map { $_->{longest} } @clients));
    }

    my $by       = by_operation(@all);
    my %messages = map { $_->{id} => $_ } $api->messages;
    my $requests = requests_of();

    my @broken = grep { $_->{break} } @faults;
    is(join(', ', map { "$_->{name}: $_->{claims}" } grep { $_->{claims} < $enough } @broken), '', "each fault hits at least $enough open claims");
    is(scalar(grep { $_->{answers}[-1]{status} == 201 } @all), $operations * $copies, 'every client ends with 201');
    is(scalar(grep { my $m = $messages{$_->{answers}[-1]{json}{id} // ''}; !$m || $m->{content} ne $_->{text} } @all), 0,
        'and the id of its message');
    is(scalar(keys %messages), $operations, 'as many messages as operations');
    is(scalar(grep { my %ids = map { $_->{answers}[-1]{json}{id} => 1 } @$_; keys %ids != 1 } values %$by), 0, 'one id for each');
    cmp_ok(max(map { $_->{longest} } @all), '<', at_most(60), 'no answer later than a minute');

    # Chatmaid accepts all here, and no lease runs out under way.  So a try ends in
    # Redis, and then there is no other by a claim there, or in its gateway's zone,
    # where Redis was away at its beginning or its end: then there is no other at
    # that gateway.  However long a client goes on, and however often Redis is lost,
    # that is one and one for each gateway.
    cmp_ok(max(values %$requests), '<=', 1 + @gateways, 'at most three requests for an operation');
    is(scalar(grep { $_->{status} == 0 } map { @{$_->{answers}} } @all), 0, 'no request without an answer');
    is(join(' ', map { "$_->[0]{operation}: $requests->{$_->[0]{text}}" } grep { $requests->{$_->[0]{text}} != 1 } @outside), '', 'one request for each outside a fault');

    my %status;
    $status{$_->{status}}++ for map { @{$_->{answers}} } @all;
    note(sprintf '%d operations, each by %d clients, in %.1f s; answers: %s; requests at Chatmaid: %d, at most %d for one; %d outside',
        $operations, $copies, time - $start, join(', ', map { "$_: $status{$_}" } sort keys %status),
        sum0(values %$requests), max(values %$requests), scalar @outside);
};

done;
