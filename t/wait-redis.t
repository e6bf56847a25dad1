# Notes in Redis, where Redis is not at its best: they are found by a gateway that
# asks it for nothing else, and what a gateway knows itself does not wait for it.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook qw(webhook_secret event signed);
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

my $api   = sandbox(plain => 1);         # for many connections at once
my $redis = redis_server;
my $count = 0;

# An account of its own for each case.
my @many     = map { "many$_" } 1 .. 16;
my @accounts = (qw(late full), @many);
my $nginx = nginx(
    internal => 'proxy_pass http://chatmaid_api/;',
    files  => {webhook_secret => webhook_secret . "\n"},
    http   => 'chatmaid_idempotency off; chatmaid_sender +15550100001; chatmaid_wait_max 300s; chatmaid_webhook_secret_file %DIR%/webhook_secret;'
        . ' chatmaid_redis ' . $redis->url . ';',
    server => 'location = /done { return 204; }' . join "\n", map { "location ^~ /$_/ { chatmaid_gateway /.chatmaid/; chatmaid_account $_; }
        location = /webhook/$_ { chatmaid_webhook on; chatmaid_account $_; proxy_pass http://127.0.0.1:%PORT%/done; }" } @accounts);

sub calls (@ids) { my $n = 0; $n += reads($_) for @ids; return $n }
sub waits_read ($account, $id) { waits($account, $id, 'wait=300&until=read') }

sub left_note ($account, $id) { $redis->cli('SET', note_of($account, $id), sprintf('%016x', 1e9 + ++$count), 'PX', 60000) }

sub hook ($account, $id, $event) {
    my $body = event($event, {messageId => $id});
    return post(url("/webhook/$account"), $body, signed($body))->{status};
}

# Four waits have used up their account's polls by time after some seconds: twenty
# a minute, the first reads among them.
sub quiet ($account) {
    my @ids   = map { sent_message } 1 .. 4;
    my @waits = map { waits_read($account, $_) } @ids;
    wait_for(sub { calls(@ids) >= 20 }, "the polls of $account");
    return (\@ids, \@waits);
}

sub soon ($since, $name) { cmp_ok(time - $since, '<', at_most(5), $name) }


subtest 'Redis was late once' => sub {
    my ($ids, $waits) = quiet('late');
    $redis->kill('STOP');
    ok(wait_for(sub { $nginx->logged(qr/is away/) }, 'it to be noticed'), 'noticed');
    $redis->kill('CONT');
    my $since = time;
    $api->move($ids->[0], 'read');
    left_note('late', $ids->[0]);
    is(waited($waits->[0]->result), '200 read', 'a note is found at once');
    soon($since, 'soon');
    ok(wait_for(sub { $nginx->logged(qr/is back/) }, 'it to be back'), 'it counts as back, though nothing else asks');
    $api->move($ids->[1], 'read');
    left_note('late', $ids->[1]);
    is(waited($waits->[1]->result), '200 read', 'then as well');
    $_->abort for @$waits[2, 3];
};

subtest 'Redis takes no more' => sub {
    my ($ids, $waits) = quiet('full');
    is(hook('full', $ids->[0], 'message.delivered'), 204, 'a webhook');
    wait_for(sub { $redis->cli('EXISTS', note_of('full', $ids->[0])) && calls(@$ids) == 21 }, 'its note');
    $redis->cli('CONFIG', 'SET', 'maxmemory', 1);
    $api->move($ids->[0], 'read');
    my $since = time;
    is(hook('full', $ids->[0], 'message.read'), 204, 'another one, whose note Redis refuses');
    is(waited($waits->[0]->result), '200 read', 'is known here all the same');
    soon($since, 'soon');
    $redis->cli('CONFIG', 'SET', 'maxmemory', 0);

    $redis->kill('STOP');
    $api->move($ids->[1], 'read');
    $since = time;
    is(hook('full', $ids->[1], 'message.read'), 204, 'one while Redis hangs');
    is(waited($waits->[1]->result), '200 read', 'too');
    soon($since, 'soon');
    $redis->kill('CONT');
    is(calls(@$ids), 23, 'one call for each of them');
    $_->abort for @$waits[2, 3];
};

# More than are looked for at once.
subtest 'many messages' => sub {
    my %id    = map { my $account = $_; $account => [map { sent_message } 1 .. 9] } @many;
    my $calls = sub { $api->count(path => '/v1/messages/*', method => 'GET') };
    my $begin = $calls->();
    my @waits = map { my $account = $_; map { waits_read($account, $_) } @{$id{$account}} } @many;
    wait_for(sub { $calls->() - $begin == 20 * @many }, 'the polls by time');
    my %noted = map { $_ => $id{$_}[rand 9] } @many;
    $api->move($_, 'read') for values %noted;
    left_note($_, $noted{$_}) for @many;
    wait_for(sub { grep({ $_->done } @waits) == @many }, 'those with a note');
    is(join(' ', sort map { $_->result->{json}{id} } grep { $_->done } @waits), join(' ', sort values %noted), 'each is found');
    is($calls->() - $begin, 21 * @many, 'by one call');
    $_->abort for grep { !$_->done } @waits;
};

done;
