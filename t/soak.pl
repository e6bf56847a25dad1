#!/usr/bin/perl

# make soak: everything that can break breaks, in an order drawn from a seed,
# while clients send and webhooks come.  Two gateways of two workers each, one
# Redis with an AOF, the sandbox and a receiver of webhooks.  At the end the
# journals tell whether what the documents promise was kept.
#
#   SOAK_SECONDS   how long (300); what is under way then gets its time
#   SOAK_SEED      the seed of a run before: the same faults at the same times
#   SOAK_CLIENTS   how many operations are under way at once (12)

use lib 't/lib';
use Chatmaid::Test;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;
use List::Util qw(uniq);
use Mojo::IOLoop;
use Time::HiRes qw(time);

my $seconds = $ENV{SOAK_SECONDS} || 300;
my $seed    = length($ENV{SOAK_SEED} // '') ? $ENV{SOAK_SEED} : int rand 1_000_000;
my $at_once = $ENV{SOAK_CLIENTS} || 12;
my $timeout = 250;                              # of Redis, in milliseconds

print "# seed $seed, $seconds s\n";
srand $seed;


# --- The schedule: drawn before anything else, from the seed alone ------------

# name => [weight, what it draws]
my %kinds = (
    'Redis is killed'           => [3, sub { (for => 0.2 + rand 3) }],
    'Redis is stopped'          => [3, sub { (for => 0.1 + rand 4) }],
    'Redis is slow'             => [3, sub { (for => 1 + rand 3) }],
    'a worker is killed'        => [3, sub { (gateway => int rand 2, worker => int rand 2) }],
    'a gateway is killed'       => [1, sub { (gateway => int rand 2, for => rand 2) }],
    'a reload'                  => [2, sub { (gateway => int rand 2) }],
    'the zone is filled'        => [1, sub { (gateway => int rand 2) }],
    'answers are lost'          => [3, sub { (fault => (qw(close truncate raw))[rand 3], times => 1 + int rand 8, effect => int rand 2) }],
    'answers are late'          => [3, sub { (delay => 500 + int rand 4000, times => 1 + int rand 8) }],
    'Chatmaid refuses'          => [2, sub { (status => (429, 500, 502, 503, 504)[rand 5], times => 1 + int rand 6) }],
    'clients leave'             => [3, sub { (share => 0.2 + rand 0.6, for => 1 + rand 3) }],
    'the receiver fails'        => [2, sub { (status => (500, 503)[rand 2], times => 1 + int rand 8) }],
);

my @draw = map { my $name = $_; ($name) x $kinds{$name}[0] } sort keys %kinds;
my @schedule;
for (my $t = 2; $t < $seconds - 5; $t += 1 + rand 4) {
    my $name = $draw[rand @draw];
    push @schedule, {at => $t, name => $name, $kinds{$name}[1]->()};
}
my %planned;
$planned{$_->{name}}++ for @schedule;


# --- What runs ----------------------------------------------------------------

my $api      = sandbox;
my $receiver = receiver;
my $redis    = redis_server(args => [qw(--appendonly yes --appendfsync always)]);

my @gateways = map {
    nginx(name => "gateway$_", api => $api, workers => 2, error_log => 'notice',
        http    => "chatmaid_zone chatmaid:256k; chatmaid_redis " . $redis->url . " timeout=${timeout}ms; chatmaid_webhook_secret_file %DIR%/webhook_secret;",
        files   => {webhook_secret => webhook_secret . "\n"},
        gateway => 'chatmaid_sender +15550100001;',
        server  => 'location = /hook { chatmaid_webhook on; proxy_ignore_client_abort on; proxy_pass http://127.0.0.1:' . $receiver->port . '; }'
            . ' location = /inbox { chatmaid_webhook on; chatmaid_webhook_stream soak; }');
} 1, 2;

my $agent = client(keepalive => 0, timeout => 40);
my ($start, %until, @open, @held, %broken) = (time);
my (@operations, @events, %answers, $forged, @accepted);


# --- Clients and senders ------------------------------------------------------

# One that repeats until it is answered; of an operation there may be two.
sub begin () {
    if (@operations && rand() < 0.2) {
        my $other = $operations[rand @operations];
        return {%$other, twin => 1, tries => 0, answer => undef, due => 0, began => time};
    }
    my $n         = @operations + 1;
    my $operation = {kind => 'send', key => "soak-$seed-$n", text => "Soak $seed $n", tries => 0, due => 0, began => time};
    push @operations, $operation;
    return $operation;
}

sub begin_event () {
    my $event = {kind => 'event', body => event((qw(message.sent message.delivered message.received))[rand 3], {n => scalar @events}),
        path => (qw(/hook /inbox))[rand 2], tries => 0, due => 0, began => time, forged => rand() < 0.15 ? 1 : 0};
    push @events, $event;
    return $event;
}

sub ask_gateway ($client) {
    my $gateway = $gateways[rand @gateways];
    $client->{tries}++;
    $client->{request} = $client->{kind} eq 'send'
        ? $agent->later(POST => $gateway->url('/chatmaid/send'), {to => '+15550100099', text => $client->{text}}, 'Idempotency-Key' => $client->{key})
        : $agent->later(POST => $gateway->url($client->{path}), $client->{body},
            signed($client->{body}, $client->{forged} ? (secret => 'whsec_of_somebody_else') : ()));
    $client->{leaves} = $client->{kind} eq 'send' && time < ($until{leave} // 0) && rand() < $broken{share} ? time + rand 1 : 0;
}

# Whether it has ended; else it asks again, as the SDK does but for longer.
sub answered ($client) {
    my $answer = $client->{request}->answer;
    my $status = $answer->{status};

    if ($client->{forged}) {
        $forged++;
        push @accepted, "a forged event: $status" if $status >= 200 && $status < 300;
        return 1;
    }
    if ($client->{kind} eq 'send') {
        $answers{$status}++;
        if ($status == 201) {
            $client->{answer} = $answer;
            push @{$operations[$client->{key} =~ /(\d+)$/ && $1 - 1]{ids}}, $answer->{json}{id};
            return 1;
        }
        # what says that it can never do better is an end too, and a failure here
        return $client->{answer} = $answer if $status && $status < 500 && $status != 408 && $status != 409 && $status != 429;
    } elsif ($status == 200) {
        return $client->{answer} = $answer;
    }
    $client->{due} = time + 0.2 + rand 0.6;
    return 0;
}


# --- Faults -------------------------------------------------------------------

sub after ($seconds, $code) { push @held, [time + $seconds, $code] }

# A gateway that is down, or a Redis, is left alone until it is back.
my %faults = (
    'Redis is killed' => sub ($f) {
        return 0 unless $redis->alive && !$broken{stopped};
        $redis->kill('KILL');
        after($f->{for}, sub { wait_for(sub { !$redis->alive }, 'Redis to die'); $redis->start });
    },
    'Redis is stopped' => sub ($f) {
        return 0 unless $redis->alive && !$broken{stopped}++;
        $redis->kill('STOP');
        after($f->{for}, sub { $redis->kill('CONT'); $broken{stopped} = 0 });
    },
    'Redis is slow' => sub ($f) {                # just beyond the timeout
        return 0 unless $redis->alive && !$broken{stopped};
        my $end = time + $f->{for};
        my $stall; $stall = sub {
            return if time > $end || !$redis->alive || $broken{stopped};
            $redis->cli('CLIENT', 'PAUSE', $timeout + 30, 'ALL');
            after(($timeout + 80) / 1000, $stall);
        };
        $stall->();
    },
    'a worker is killed' => sub ($f) {
        my $gateway = $gateways[$f->{gateway}];
        my @workers = $gateway->alive ? $gateway->workers : ();
        return 0 unless @workers;
        $gateway->kill_workers($workers[$f->{worker} % @workers]);
    },
    'a gateway is killed' => sub ($f) {
        my $gateway = $gateways[$f->{gateway}];
        return 0 unless $gateway->alive && $gateways[1 - $f->{gateway}]->alive;
        $gateway->crash;
        after($f->{for}, sub { $gateway->start });
    },
    'a reload' => sub ($f) {
        my $gateway = $gateways[$f->{gateway}];
        return 0 unless $gateway->alive;
        $gateway->reload;
    },
    'the zone is filled' => sub ($f) { $until{crowd} = time + 2; 1 },
    'answers are lost' => sub ($f) {
        $api->fault($f->{fault} eq 'raw'
            ? {raw => 'H', effect => $f->{effect} ? \1 : \0, times => $f->{times}}
            : {$f->{fault} => $f->{fault} eq 'close' ? ($f->{effect} ? 'after' : 'before') : 20, times => $f->{times}});
    },
    'answers are late' => sub ($f) { $api->fault({delay => $f->{delay}, times => $f->{times}}) },
    'Chatmaid refuses' => sub ($f) { $api->fault({status => $f->{status}, times => $f->{times}}) },
    'clients leave'    => sub ($f) { @broken{share} = $f->{share}; $until{leave} = time + $f->{for} },
    'the receiver fails' => sub ($f) { $receiver->fault({status => $f->{status}, times => $f->{times}}) },
);

my %done;
sub tick () {
    my $now = time;
    my @due = grep { $_->[0] <= $now } @held;
    @held = grep { $_->[0] > $now } @held;
    $_->[1]->() for @due;

    while (@schedule && $schedule[0]{at} <= $now - $start) {
        my $f = shift @schedule;
        $done{$f->{name}}++ if $faults{$f->{name}}->($f);
    }

    my @left;
    for my $client (@open) {
        if ($client->{request} && $client->{request}->done) {
            my $ended = answered($client);
            undef $client->{request};
            next if $ended;
        } elsif ($client->{request} && $client->{leaves} && $now > $client->{leaves}) {
            $client->{request}->abort;
            @$client{qw(request leaves due)} = (undef, 0, $now + rand 1);
            $done{left}++;
        }
        ask_gateway($client) if !$client->{request} && $client->{due} <= time;
        push @left, $client;
    }
    @open = @left;
    Mojo::IOLoop->timer(0.01 => sub { });
    Mojo::IOLoop->one_tick;
}


# --- The run ------------------------------------------------------------------

while (time - $start < $seconds) {
    my $crowd = time < ($until{crowd} // 0) ? 60 : $at_once;
    push @open, begin       while (grep { $_->{kind} eq 'send' } @open) < $crowd;
    push @open, begin_event while (grep { $_->{kind} eq 'event' } @open) < $at_once / 3;
    tick;
}

# What has begun goes on, and nothing breaks any more.
my $calm = time;
@schedule = ();
tick while @held;
$api->clear_faults;
$receiver->clear_faults;
$redis->start unless $redis->alive;
tick while @open && time - $calm < Chatmaid::Test::World::patience(150);


# --- What was promised --------------------------------------------------------

my %made;
push @{$made{$_->{content}}}, $_->{id} for $api->messages;

my %reached = map { $_ => 1 } bodies($receiver);
my @stream = split /\n/, $redis->cli('XRANGE', 'soak', '-', '+');
$reached{$_} = 1 for grep { /^\{/ } @stream;

my @sent  = grep { $_->{ids} } @operations;
my @taken = grep { !$_->{forged} && $_->{answer} } @events;

my @table;
sub promise ($what, $count, @broken) {
    push @table, sprintf '%-58s %7s  %s', $what, $count, @broken ? 'BROKEN: ' . join(', ', @broken[0 .. ($#broken > 4 ? 4 : $#broken)]) : 'kept';
    is(scalar @broken, 0, $what) or diag(join "\n", @broken);
}

promise('1  no operation made two messages', scalar @operations, map { $_->{text} } grep { @{$made{$_->{text}} // []} > 1 } @operations);
promise('2  every operation answered 201 exists', scalar @sent,
    map { $_->{text} } grep { my $o = $_; grep { my $id = $_; !grep { $_ eq $id } @{$made{$o->{text}} // []} } @{$o->{ids}} } @sent);
promise('3  every client that kept asking was answered 201', scalar @operations,
    (map { "$_->{kind} " . ($_->{key} // $_->{path}) } @open), map { $_->{key} . ': ' . $_->{answer}{status} } grep { $_->{answer} && $_->{answer}{status} != 201 } @operations);
promise('4  the same operation, the same id', scalar @sent, map { $_->{text} } grep { uniq(@{$_->{ids}}) > 1 } @sent);
promise('5  every acknowledged event arrived', scalar @taken, map { $_->{body} } grep { !$reached{$_->{body}} } @taken);
promise('6  nothing forged passed', $forged // 0, @accepted, map { $_->{body} } grep { $_->{forged} && $reached{$_->{body}} } @events);

sub title ($pid) { slurp("/proc/$pid/cmdline") =~ tr/\0/ /r }

# When all is quiet: no connection of a caller, few of anybody.
my @leaks;
for my $gateway (@gateways) {
    wait_for(sub { !grep { title($_) =~ /shutting down/ } keys %{{$gateway->children}} }, 'old workers to end');
    for my $pid ($gateway->workers) {
        my $fds = $gateway->fds($pid);
        push @leaks, $gateway->name . ": $fds descriptors" if $fds > 64;
        my $rss = $gateway->rss($pid);
        push @leaks, $gateway->name . ": $rss KiB" if $rss > 65536 && ($ENV{NGINX} // '') !~ /asan/;
    }
}

promise('8  no descriptors and no memory are left over', 4, @leaks);

# done() looks for secrets, alerts and crashes.
my $failed = sub { scalar grep { !$_ } Test::More->builder->summary };
my $until_here = $failed->();
done;
push @table, sprintf '%-58s %7s  %s', '7  no secret anywhere; 8  no alert, no crash', '', $failed->() == $until_here ? 'kept' : 'BROKEN: see above';

print "#\n# seed $seed, $seconds s, ", scalar @operations, ' operations, ', scalar @events, " events\n#\n";
print "# $_\n" for @table;
print "#\n# faults: ", join(', ', map { "$_ " . ($done{$_} // 0) . "/$planned{$_}" } sort keys %planned), "\n";
print '# clients that left: ', $done{left} // 0, '; answers to sends: ', join(', ', map { "$_ $answers{$_}" } sort keys %answers), "\n";
