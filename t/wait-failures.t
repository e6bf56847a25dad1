# Waits while Chatmaid fails, limits or does not know: the first read is one as
# any other, a poll that fails is made up for by the next one.

use Chatmaid::Test;
use Chatmaid::Test::Wait;
use Chatmaid::Test::World qw(at_most);
use Time::HiRes qw(time);

debug_logs;

my $api = sandbox;

# An account of its own for each case.
my %place = (
    (map { $_ => '' } qw(nothing missing refused lost again gone limited unlimited capped shared shorter429 shorter503)),
    once  => 'chatmaid_retries 0;',
    slow  => 'chatmaid_gateway /.slow/;',
);
my $nginx = nginx(
    http   => 'chatmaid_sender +15550100001; chatmaid_wait_max 300s;',
    server => join("\n", map { "location ^~ /$_/ { " . ($place{$_} =~ /gateway/ ? '' : 'chatmaid_gateway /.chatmaid/; ')
        . "chatmaid_account $_; $place{$_} }" } sort keys %place) . <<'END',
        location ^~ /.slow/ { %PROXY% proxy_pass https://chatmaid_api/; proxy_read_timeout 2s; }
END
);

sub message_at ($status = 'sent') {
    my $id = sent_message;
    $api->move($id, $status);
    return $id;
}

sub asks_later ($place, $id, $query) { later(GET => url("/$place/messages/$id?$query")) }
sub asks (@request)  { asks_later(@request)->result }
sub path ($id)       { "/v1/messages/$id" }
sub calls ($id)      { $api->requests(path => path($id)) }
sub fault ($id, @more) { $api->fault({match => {path => path($id)}, @more}) }
sub error (@more)    { (json => {success => \0, message => ['no']}, @more) }

# So many have come to this place for it.
sub come ($place, $id, $count) {
    wait_for(sub { $count <= (() = $nginx->error_log =~ m{chatmaid gateway "/$place/messages/$id"}g) }, "$count callers");
}

# Once it has been asked about, so that what comes next is a poll.
sub asked ($id) {
    wait_for(sub { my ($first) = calls($id); $first && $first->{ended} }, 'the first read');
}


# --- The first read ----------------------------------------------------------

subtest 'nothing comes' => sub {
    my $id = message_at;
    fault($id, hold => 'before');
    my $start  = time;
    my @all    = map { asks_later('nothing', $id, 'wait=1') } 1 .. 3;
    my @told   = map { $_->result } @all;
    is(waited($_), '504 upstream_timeout 504', 'answered at the deadline') for @told;
    is($_->{headers}{'content-type'}, 'application/problem+json', 'as a problem') for @told;
    cmp_ok(time - $start, '>', 0.95, 'not before it');
    cmp_ok(time - $start, '<', at_most(10), 'nor long after');
    is(reads($id), 1, 'one call');
    my $late = asks_later('nothing', $id, 'wait=20&until=sent');
    come('nothing', $id, 4);
    $api->release;
    is(waited($late->result), '200 sent', 'and its answer is for who has come since');
    is(reads($id), 1, 'still one call');
};

subtest 'no such message' => sub {
    my @all = map { asks_later('missing', 'msg_none', 'wait=30') } 1 .. 3;
    is(waited($_->result), '404 not_found 404', 'at once') for @all;
    cmp_ok(reads('msg_none'), '<=', 3, 'no more calls than that');
    is(waited(asks('missing', 'msg_none', 'wait=30')), '404 not_found 404', 'asked again');
};

subtest 'the first read is tried again' => sub {
    my %fault = (503 => [error(status => 503)], 502 => [error(status => 502)], closed => [close => 'before'],
        limited => [error(status => 429, json => {success => \0, message => ['slow'], retryAfter => 1})]);
    for my $name (sort keys %fault) {
        my $id = message_at;
        fault($id, @{$fault{$name}});
        is(waited(asks('again', $id, 'wait=20&until=sent')), '200 sent', "$name: asked again");
        is(reads($id), 2, "$name: two calls");
    }

    my $id = message_at;
    fault($id, error(status => 503), times => 0);
    is(waited(asks('once', $id, 'wait=20')), '502 upstream_error 502', 'or not, where chatmaid_retries says so');
    is(reads($id), 1, 'one call');

    $id = message_at;
    fault($id, error(status => 503), hold => 'before');
    fault($id, error(status => 503), times => 0);
    my @all = map { asks_later('again', $id, 'wait=20') } 1 .. 5;
    come('again', $id, 5);
    $api->release;
    is(waited($_->result), '502 upstream_error 502', 'after the last try') for @all;
    is(reads($id), 3, 'three calls for all');
    is(waited(asks('slow', do { my $id = message_at; fault($id, hold => 'before', times => 0); $id }, 'wait=20')), '504 upstream_timeout 504', 'time after time');
    $api->clear_faults;
    $api->release;
};

subtest 'it is held back by a limit' => sub {
    my ($one, $two, $three) = map { message_at } 1 .. 3;
    fault($one, error(status => 429, json => {success => \0, message => ['slow'], retryAfter => 12}));
    my $first = asks('limited', $one, 'wait=5');
    is(waited($first), '429 rate_limited 429', 'where that does not fit');
    is($first->{headers}{'retry-after'}, 12, 'with its time');
    my $since = (calls($one))[0]{ended};

    my @short = map { asks_later('limited', $_, 'wait=5') } $two, $two, $three;
    my @long  = map { asks_later('limited', $_, 'wait=20&until=sent') } $two, $two, $three;
    is(waited($_->result), '429 rate_limited 429', 'another message: at once') for @short;
    like($_->result->{headers}{'retry-after'}, qr/\A(?:\d|1[012])\z/, 'with the rest of it') for @short;
    is(waited(asks('unlimited', $three, 'wait=20&until=sent')), '200 sent', 'another account is not');
    is(waited($_->result), '200 sent', 'one that has time waits') for @long;
    cmp_ok((calls($two))[0]{time} - $since, '>', 11.9, 'until it is over');
    is(reads($two), 1, 'then there is one call');
};

# Who came first has the least time.
subtest 'one without time does not decide for the others' => sub {
    my %fault = (429 => [error(status => 429, json => {success => \0, message => ['slow'], retryAfter => 7})],
        503 => [error(status => 503, headers => {'Retry-After' => 7})]);
    my (%id, %short, %long);
    for my $name (sort keys %fault) {
        my $id = $id{$name} = message_at;
        fault($id, %{{@{$fault{$name}}}}, hold => 'before');
        $short{$name} = asks_later("shorter$name", $id, 'wait=6');
    }
    $api->wait_held(2);
    for my $name (sort keys %fault) {
        $long{$name} = [map { asks_later("shorter$name", $id{$name}, "wait=$_&until=sent") } 30, 6, 30];
        come("shorter$name", $id{$name}, 4);
    }
    $api->release;

    for my $name (sort keys %fault) {
        my $refused = $name == 429 ? '429 rate_limited 429' : '502 upstream_error 502';
        is(waited($_->result), $refused, "$name: it is answered so") for $short{$name}, $long{$name}[1];
        is(waited($_->result), '200 sent', "$name: the others in good time") for @{$long{$name}}[0, 2];
        my @calls = calls($id{$name});
        is(scalar(@calls), 2, "$name: two calls");
        cmp_ok($calls[1]{time} - $calls[0]{ended}, '>', 6.9, "$name: not before its time");
    }

    my $id = message_at;
    fault($id, error(status => 503), hold => 'before');
    my $short = asks_later('shared', $id, 'wait=1');
    $api->wait_held;
    my @long = map { asks_later('shared', $id, 'wait=20&until=sent') } 1 .. 3;
    is(waited($short->result), '504 upstream_timeout 504', 'its time may be over');
    $api->release;
    is(waited($_->result), '200 sent', 'the others have the read tried again') for @long;
    is(reads($id), 2, 'two calls');

    $id = message_at;
    fault($id, error(status => 503, headers => {'Retry-After' => 25}), hold => 'before', times => 0);
    my @all = map { asks_later('shared', $id, 'wait=20') } 1 .. 10;
    come('shared', $id, 10);
    $api->release;
    is(waited($_->result), '502 upstream_error 502', 'none of them has the time') for @all;
    is(reads($id), 1, 'one call');
    $api->clear_faults;
};


# --- Polls -------------------------------------------------------------------

subtest 'polls that fail' => sub {
    my %id = map { $_ => message_at } qw(500 503 closed html cut slow);
    my %asked = map { $_ => asks_later($_ eq 'slow' ? 'slow' : 'lost', $id{$_}, 'wait=300') } keys %id;
    asked($_) for values %id;
    fault($id{500}, error(status => 500));
    fault($id{503}, error(status => 503));
    fault($id{closed}, close => 'after');
    fault($id{html}, body => '<html>', type => 'text/html');
    fault($id{cut}, truncate => 10);
    fault($id{slow}, hold => 'before', times => 2);
    $api->wait_requests(2, path => path($_)) for values %id;
    $api->move($_, 'delivered') for values %id;
    is(waited($asked{$_}->result), '200 delivered', "$_: does not end the wait") for sort keys %id;
    cmp_ok(reads($id{$_}), '>', 2, "$_: asked again") for sort keys %id;
    is(scalar $api->faults, 0, 'all have been met');
    $api->release;
};

subtest 'a poll is not tried again' => sub {
    my $id    = message_at;
    my $asked = asks_later('once', $id, 'wait=4');
    asked($id);
    fault($id, error(status => 503), times => 0);
    is(waited($asked->result), '200 sent timeout', 'what was seen last is the answer');
    my @calls = calls($id);
    my @near  = grep { $calls[$_]{time} - $calls[$_ - 1]{time} < 0.45 } 1 .. $#calls;
    cmp_ok(scalar @calls, '>=', 3, 'several polls');
    is("@near", '', 'none sooner than half a second after another');
    $api->clear_faults;
};

subtest 'the message is gone, or the key' => sub {
    for my $case ([404, '404 not_found 404', 'gone'], [401, '502 upstream_auth 502', 'refused'], [403, '502 upstream_auth 502', 'refused']) {
        my ($status, $want, $place) = @$case;
        my $id  = message_at;
        my @all = map { asks_later($place, $id, "wait=30&until=$_") } qw(delivered read read delivered);
        asked($id);
        fault($id, error(status => $status));
        my @told = map { $_->result } @all;
        is(waited($_), $want, "status $status: all are told") for @told;
        is(scalar(keys %{{map { $_->{json}{detail} => 1 } @told}}), 1, "status $status: alike");
        is(scalar(keys %{{map { $_->{json}{requestId} => 1 } @told}}), 4, "status $status: each by its own ID");
        is(reads($id), 2, "status $status: by one call");
        is(waited(asks($place, $id, 'wait=1&until=sent')), '200 sent', "status $status: the next one begins anew");
    }
};

subtest 'no poll during a cool-down' => sub {
    my %id    = map { $_ => message_at } 1 .. 3;
    my @asked = map { asks_later('capped', $id{$_}, 'wait=10') } 1 .. 3;
    asked($_) for values %id;
    my ($ended) = $api->count;
    fault($id{1}, error(status => 429, json => {success => \0, message => ['slow'], retryAfter => 6}));
    wait_for(sub { grep { ($_->{status} // 0) == 429 } map { calls($_) } values %id }, 'a poll to be refused');
    is(waited($_->result), '200 sent timeout', 'no wait ends by it') for @asked;
    my @calls = sort { $a->{time} <=> $b->{time} } map { calls($_) } values %id;
    my ($refused) = grep { $_->{status} == 429 } @calls;
    my @after = grep { $_->{time} > $refused->{ended} + 2 } @calls;       # the others may have been on their way
    is(scalar(grep { $_->{time} < $refused->{ended} + 5.9 } @after), 0, 'none while it lasts');
    cmp_ok(scalar(@after), '>', 0, 'and afterwards there are some');
};

done;
