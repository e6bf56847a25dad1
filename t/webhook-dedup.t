# An event is handed on until it has been answered with 2xx, and then no more:
# when it counts as delivered.

use Chatmaid::Test;
use Chatmaid::Test::Http2;
use Chatmaid::Test::Redis;
use Chatmaid::Test::Webhook;

my $receiver = receiver;
my $redis    = redis_server;
my $shared   = 'chatmaid_redis ' . $redis->url . ' timeout=30s;';
my $more     = 'location = /second { chatmaid_webhook on; proxy_pass http://127.0.0.1:%API%; }'
    . ' location = /fails { chatmaid_webhook on; proxy_read_timeout 1s; proxy_pass http://127.0.0.1:%API%; }'
    . ' location = /after { chatmaid_webhook on; post_action /done; proxy_pass http://127.0.0.1:%API%; }'
    . ' location = /done { internal; proxy_pass http://127.0.0.1:%API%; }'
    . ' location = /page { chatmaid_webhook on; proxy_intercept_errors on; error_page 500 =202 @took; error_page 503 =404 @took; proxy_pass http://127.0.0.1:%API%; }'
    . ' location @took { return 202; }';
my @common   = (server => "listen 127.0.0.1:%PORT:h2% http2;\n$more", webhook => 'proxy_ignore_client_abort on;');

my $zone = edge(name => 'zone', workers => 2, @common);
my $one  = edge(name => 'one', workers => 2, http => $shared, @common);
my $two  = edge(name => 'two', http => $shared, @common);

sub fresh () { $receiver->clear_faults; $receiver->reset }
sub count () { $receiver->count }


subtest 'what a duplicate is told' => sub {
    fresh;
    my $body = event('message.sent');
    $receiver->fault({status => 202, body => 'accepted'});
    is(hook_at($zone, $body)->{status}, 202, "the first: the receiver's answer");
    my $answer = hook_again($zone, $body, 'X-Case' => 'again');
    is($answer->{status}, 200, 'a repeat: 200');
    is(count, 1, 'from the edge itself');
    my $line = wait_for(sub { $zone->access_log =~ /^(.*"duplicate\|message\.sent\|msg_\d+\|.*" again)$/m && $1 });
    ok($line, 'variables');
    like($line, qr/upstream="-\|-\|-\|/, 'no upstream');
    is(join('', grep { !/delivery_in_flight/ } $zone->logged(qr/\[warn\].*chatmaid/)), '', 'no warning');
};

subtest 'delivered only after 2xx' => sub {
    my %failing = (
        400 => {status => 400}, 404 => {status => 404}, 429 => {status => 429}, 302 => {status => 302, body => ''},
        500 => {status => 500}, 502 => {close => 'before'}, '502 ' => {close => 'after', reset => 1}, 504 => {hold => 'before'},
        '502  ' => {raw => "HTTP/1.1 200 OK\r\nX: y"},
    );
    for my $edge ($zone, $one) {
        for my $status (sort keys %failing) {
            fresh;
            my $body = event('message.sent');
            my $url  = $edge->url($status == 504 ? '/fails' : '/second');
            $receiver->fault({%{$failing{$status}}, times => 2});
            my @first = map { hook_again($url, $body) } 1, 2;
            is($_->{status}, $status + 0, "$status: first") for @first;
            like($first[0]{json}{detail}, qr/\Athe receiver (?:could not be reached|did not answer in time)/, "$status: says whose fault it is") if $status =~ /^50[24]/;
            is(code(hook_again($url, $body)), 200, "$status: in the end delivered");
            is(code(hook_again($url, $body)), 200, "$status: and once more");
            is(count, 3, "$status: three tries");
        }
    }
    for my $status (200, 201, 204, 299) {
        fresh;
        my $body = event('message.sent');
        $receiver->fault({status => $status, body => ''});
        is(hook_at($zone, $body)->{status}, $status, "$status: delivered");
        is(code(hook_again($zone, $body)), 200, "$status: a repeat");
        is(count, 1, "$status: not handed on again");
    }
};

# What counts is what the sender was told.
subtest 'after error_page' => sub {
    fresh;
    my $body = event('message.sent');
    $receiver->fault({status => 500});
    is(hook_at($zone->url('/page'), $body)->{status}, 202, '500 made 202');
    is(code(hook_again($zone->url('/page'), $body)), 200, 'is delivered');
    is(count, 1, 'and not handed on again');

    $body = event('message.sent');
    $receiver->fault({status => 503});
    is(hook_at($zone->url('/page'), $body)->{status}, 404, '503 made 404');
    is(code(hook_again($zone->url('/page'), $body)), 200, 'is handed on again');
    is(count, 3, 'until it succeeds');
};

# nginx runs another request after the answer, whose status is not the sender's.
subtest 'with post_action' => sub {
    for my $case ([500, 200, 2], [200, 500, 1]) {
        my ($status, $afterwards, $times) = @$case;
        fresh;
        my $body = event('message.sent');
        $receiver->fault({status => $status, match => {path => '/after'}}, {status => $afterwards, match => {path => '/done'}});
        is(hook_at($zone->url('/after'), $body)->{status}, $status, "$status, then $afterwards");
        is(code(hook_again($zone->url('/after'), $body)), 200, 'a repeat');
        is($receiver->count(path => '/after'), $times, $times > 1 ? 'is handed on again' : 'is not handed on again');
    }
};

subtest 'in flight' => sub {
    for my $edge ($zone, $one) {
        fresh;
        my $body = event('message.sent');
        $receiver->fault({hold => 'before', match => {path => '/second'}});
        my $first = hook_later_at($edge->url('/second'), $body);
        $receiver->wait_held;
        for my $n (1 .. 12) {
            my $answer = hook_at(($n % 2 || $edge == $zone ? $edge : $two)->url('/second'), $body, 'X-Case' => "flight$n");
            is(code($answer), '503 delivery_in_flight', 'a repeat meanwhile, at any worker');
            like($answer->{headers}{'retry-after'}, qr/^[1-9][0-9]*$/, 'Retry-After');
            is($answer->{headers}{'content-type'}, 'application/problem+json', 'a problem');
        }
        is(code(hook_at($edge, $body)), 200, 'at another location it is another');
        is($receiver->count(path => '/second'), 1, 'one is under way');
        $receiver->release;
        is(code($first->result), 200, 'the first is answered');
        is(code(hook_again($edge->url('/second'), $body)), 200, 'then a repeat too');
        is($receiver->count(path => '/second'), 1, 'handed on once');
        ok(wait_for(sub { $edge->access_log =~ /"delivery_in_flight\|message\.sent\|/ }), '$chatmaid_webhook');
    }
};

subtest 'the sender has gone' => sub {
    for my $edge ($zone, $one) {
        for my $how (qw(close reset)) {
            fresh;
            my $body = event('message.sent');
            $receiver->fault({hold => 'before'});
            raw($edge->port, [head($body, lines => ["X-Case: gone-$how"]), $body, sub { $receiver->wait_held }], abort => $how);
            is(code(hook_at($edge, $body)), '503 delivery_in_flight', "$how: still under way");
            $receiver->release;
            ok(wait_for(sub { $edge->access_log =~ /" gone-$how$/m }), "$how: ended");
            is(code(hook_again($edge, $body)), 200, "$how: a repeat");
            is(count, 1, "$how: was delivered");

            $body = event('message.sent');
            $receiver->fault({hold => 'before', status => 500});
            raw($edge->port, [head($body), $body, sub { $receiver->wait_held }], abort => $how);
            $receiver->release;
            ok(wait_for(sub { code(hook_again($edge, $body)) eq '200' }), "$how: one that failed");
            is(passed($receiver, $body), 2, "$how: is handed on again");
        }
    }
    fresh;
    my $body = event('message.sent');
    $receiver->fault({hold => 'before', match => {path => '/second'}});
    raw($zone->port, [head($body, path => '/second'), $body, sub { $receiver->wait_held }], abort => 'reset');
    ok(wait_for(sub { code(hook_again($zone->url('/second'), $body)) eq '200' }), 'without proxy_ignore_client_abort');
    is($receiver->count(path => '/second'), 2, 'the delivery was cut off, so it is handed on again');
    $receiver->release;
};

subtest 'the sender has gone, over HTTP/2' => sub {
    for my $edge ($zone, $one) {
        for my $how (qw(stream close reset)) {
            fresh;
            my $body = event('message.sent');
            my $h2   = connect_h2($edge->port('h2'));
            my ($id, $head) = opened($h2, POST => '/webhooks/chatmaid', 0, ['x-chatmaid-signature', sign($body)]);
            $receiver->fault({hold => 'before'});
            put($h2, $head, data($id, $body));
            $receiver->wait_held;
            $how eq 'stream' ? put($h2, reset_($id)) : drop($h2, $how);
            is(code(hook_at($edge, $body)), '503 delivery_in_flight', "$how: still under way");
            $receiver->release;
            is(code(hook_again($edge, $body)), 200, "$how: a repeat");
            is(count, 1, "$how: was delivered");
            drop($h2, 'close') if $how eq 'stream';
        }
    }
};

subtest 'two edges' => sub {
    fresh;
    my $body = event('message.sent');
    is(code(hook_at($one, $body)), 200, 'delivered by one');
    is(code(hook_again($two, $body)), 200, 'repeated at the other') for 1 .. 3;
    is(count, 1, 'handed on once');
    is(code(hook_at($zone, $body)), 200, 'an edge of its own');
    is(count, 2, 'knows nothing of it');

    my @bodies = map { event('message.sent') } 1 .. 20;
    fresh;
    my @all = map { my $body = $_; map { hook_later_at($_, $body) } $one, $two, $one, $two } @bodies;
    my %codes;
    $codes{code($_->result)}++ for @all;
    is(join(' ', sort keys %codes), join(' ', sort { $a cmp $b } grep { $codes{$_} } '200', '503 delivery_in_flight'), 'all at once: delivered, or in flight');
    is(scalar(grep { passed($receiver, $_) == 1 } @bodies), 20, 'each is handed on once');
    is(scalar(grep { code(hook_again($two, $_)) eq '200' } @bodies), 20, 'and known afterwards');
    is(count, 20, 'to both');
};

subtest 'what Redis holds of it' => sub {
    my $body = event('message.received', {content => 'a very private text', from => '+15557654321'});
    is(code(hook_at($one, $body)), 200, 'delivered');
    my @keys = split /\n/, $redis->cli('KEYS', '*');
    is(scalar(grep { !/^chatmaid:/ } @keys), 0, 'its keys have the prefix');
    is(scalar(grep { $redis->cli('TTL', $_) <= 0 } @keys), 0, 'each has a TTL');
    is(scalar(grep { $redis->cli('TTL', $_) > 86400 } @keys), 0, 'of a day at most');
    my $all = join "\n", @keys, map { $redis->cli('DUMP', $_), $redis->cli('GET', $_) } @keys;
    unlike($all, qr/private|15557654321|inmsg_|whsec/, 'and nothing of the event');
};

subtest 'a mark of a newer version' => sub {
    fresh;
    $redis->cli('FLUSHALL');
    my $body = event('message.sent');
    is(code(hook_at($one, $body)), 200, 'delivered');
    my $key = wait_for(sub { (grep { $redis->state_of($_) eq 'done' } split /\n/, $redis->cli('KEYS', 'chatmaid:event:*'))[0] });
    $redis->cli('SET', $key, '3 anything');
    is(code(hook_again($one, $body)), 200, 'which is not understood') for 1 .. 4;
    is(count, 2, 'it is handed on for want of a mark, and known from then on');
    is($redis->cli('GET', $key), '3 anything', 'and the mark is left alone');
};

subtest 'over a reload' => sub {
    for my $edge ($zone, $one) {
        fresh;
        my ($before, $during) = (event('message.sent'), event('message.sent'));
        is(code(hook_at($edge, $before)), 200, 'delivered before');
        $receiver->fault({hold => 'before', match => {path => '/second'}});
        my $held = hook_later_at($edge->url('/second'), $during);
        $receiver->wait_held;
        $edge->reload;
        is(code(hook_again($edge, $before)), 200, 'a repeat after the reload');
        is(passed($receiver, $before), 1, 'is known');
        is(code(hook_at($edge->url('/second'), $during)), '503 delivery_in_flight', 'one that the old worker has under way');
        $receiver->release;
        is(code($held->result), 200, 'is delivered by it');
        is(code(hook_again($edge->url('/second'), $during)), 200, 'and then known to the new one');
        is(passed($receiver, $during), 1, 'handed on once');
    }
};

done;
