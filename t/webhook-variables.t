# $chatmaid_webhook and its kind where nginx takes variables: routing by the signed
# event, headers that a receiver may rely on, log lines.

use Chatmaid::Test;
use Chatmaid::Test::Webhook;
use Mojo::JSON qw(decode_json);

my $inbox    = receiver(name => 'inbox');
my $receiver = receiver;
my $forged   = secret('whsec_another-secret-0123');

my $edge = edge(
    http => <<"END_CONF",
    upstream inbox { server 127.0.0.1:${\$inbox->port}; }
    upstream rest  { server 127.0.0.1:%API%; }
    map \$chatmaid_webhook_event \$to { message.received inbox; default rest; }
    map \$chatmaid_webhook_event \$kind { ~^(?<first>[a-z]+)\\. \$first; default other; }
    map \$chatmaid_webhook \$worth { verified 0; default 1; }
    log_format events escape=json '{"result":"\$chatmaid_webhook","event":"\$chatmaid_webhook_event","id":"\$chatmaid_webhook_message_id",'
        '"time":"\$chatmaid_webhook_timestamp","status":"\$status","case":"\$http_x_case"}';
    access_log %DIR%/events.log events;
    access_log %DIR%/bad.log events if=\$worth;
END_CONF
    server => <<'END_CONF',
        location = /elsewhere { proxy_pass http://rest; proxy_set_header X-Chatmaid-Event $chatmaid_webhook_event; }
        location = /status    { return 200 "[$chatmaid_webhook|$chatmaid_webhook_event]"; }
        location = /add       { chatmaid_webhook on; add_header X-Event "$chatmaid_webhook $chatmaid_webhook_event" always; proxy_pass http://rest; }
END_CONF
    webhook => <<'END_CONF');
        proxy_pass        http://$to;
        proxy_set_header  X-Chatmaid-Event      $chatmaid_webhook_event;
        proxy_set_header  X-Chatmaid-Message    $chatmaid_webhook_message_id;
        proxy_set_header  X-Chatmaid-Timestamp  $chatmaid_webhook_timestamp;
        proxy_set_header  X-Chatmaid-Verified   $chatmaid_webhook;
        proxy_set_header  X-Kind                $kind;
END_CONF

my @names = qw(X-Chatmaid-Event X-Chatmaid-Message X-Chatmaid-Timestamp X-Chatmaid-Verified X-Kind);
my $case  = 0;

sub headers_of ($request) { +{map { my $name = $_; ($name => [$receiver->header($request, $name)]) } @names} }
sub asked ($body, @headers) { hook($body, 'X-Case' => ++$case, @headers) }
sub line ($log) { wait_for(sub { slurp($edge->dir . "/$log.log") =~ /^(.*"case":"$case".*)$/m && decode_json($1) }) }


subtest 'routing' => sub {
    for my $one (['message.received', $inbox], ['message.sent', $receiver], ['phone.connected', $receiver], ['odd', $receiver]) {
        my ($event, $to) = @$one;
        $_->reset for $inbox, $receiver;
        my $body = event($event);
        is(code(hook($body, 'X-Chatmaid-Event' => 'message.received')), 200, $event);
        is(passed($to, $body), 1, "$event: to whom it belongs");
        is($inbox->count + $receiver->count, 1, "$event: and to nobody else");
    }
};

subtest 'headers' => sub {
    my $body = event('message.sent', {messageId => 'msg_1'}, '2026-07-25T17:19:58.000Z');
    is(code(hook($body)), 200, 'an event');
    my %want = ('X-Chatmaid-Event' => ['message.sent'], 'X-Chatmaid-Message' => ['msg_1'],
        'X-Chatmaid-Timestamp' => ['2026-07-25T17:19:58.000Z'], 'X-Chatmaid-Verified' => ['verified'], 'X-Kind' => ['message']);
    is_deeply(headers_of($receiver->last), \%want, 'what the edge says');

    $body = event('message.sent', {messageId => 'msg_2'}, '2026-07-25T17:19:58.000Z');
    my @smuggled = map { ($_ => ['verified', 'phone.connected'], lc $_ => 'verified', s/-/_/gr => 'verified') } @names;
    is(code(hook($body, @smuggled)), 200, 'with the same headers from outside');
    is_deeply(headers_of($receiver->last), {%want, 'X-Chatmaid-Message' => ['msg_2']}, 'of which none gets through');

    is(code(hook('{"event":"odd"}')), 200, 'an event without members');
    is_deeply(headers_of($receiver->last), {'X-Chatmaid-Event' => ['odd'], 'X-Chatmaid-Verified' => ['verified'], 'X-Kind' => ['other'],
        'X-Chatmaid-Message' => [], 'X-Chatmaid-Timestamp' => []}, 'an empty value is no header');
    is(code(hook('{"event":"odd","n":2}', @smuggled)), 200, 'the same with headers from outside');
    is_deeply([map { @$_ } @{headers_of($receiver->last)}{qw(X-Chatmaid-Message X-Chatmaid-Timestamp)}], [], 'nor do those');

    is(post(url('/elsewhere'), {a => 1}, 'X-Chatmaid-Event' => 'message.sent')->{status}, 200, 'a location that verifies nothing');
    is_deeply([$receiver->header($receiver->last, 'X-Chatmaid-Event')], [], 'says nothing');
    is(post(url('/status'), event('message.sent'))->{body}, '[|]', 'nor does any other');
};

# A line break in an event's name would be a header of the sender's own.
subtest 'odd names' => sub {
    my %odd = (
        'a line break' => "message.sent\r\nX-Chatmaid-Verified: no",
        'a NUL'        => "message.sent\0more",
        'a quotation mark' => 'a"b\\',
        'beyond ASCII' => "\x{1F600}",
        'white space'  => ' message.sent ',
        'long'         => 'e' x 3000,
    );
    for my $name (sort keys %odd) {
        $_->reset for $inbox, $receiver;
        my $body   = event($odd{$name}, {messageId => $odd{$name}}, $odd{$name});
        my $answer = asked($body);
        my @got    = map { $_->requests } $inbox, $receiver;
        is(code($answer), 200, "$name: handed on");
        is(scalar @got, 1, "$name: once");
        ok($got[0]{body} eq $body, "$name: as it was");
        is_deeply(headers_of($got[0])->{'X-Chatmaid-Verified'}, ['verified'], "$name: no header more");
        is(scalar(grep { !defined $_->[1] } @{$got[0]{headers}}), 0, "$name: no line more");
        is((line('events'))->{result}, 'verified', "$name: one line in the log");
    }
};

subtest 'log lines' => sub {
    my $body = event('message.sent', {messageId => 'msg_log'}, '2026-07-25T17:19:58.000Z');
    my %of   = (event => 'message.sent', id => 'msg_log', time => '2026-07-25T17:19:58.000Z');
    for my $result (qw(verified duplicate)) {
        is(asked($body)->{status}, 200, $result);
        is_deeply(line('events'), {%of, result => $result, status => 200, case => $case}, "$result: its line");
    }
    my %none = (event => '', id => '', time => '');
    asked($body, signed($body, secret => $forged));
    is_deeply(line('events'), {%none, result => 'signature_mismatch', status => 401, case => $case}, 'forged: nothing of what it claims');
    is_deeply(line('bad'), {%none, result => 'signature_mismatch', status => 401, case => $case}, 'forged: by a map of its own');
    asked('7');
    is_deeply(line('events'), {%none, result => 'invalid_event', status => 400, case => $case}, 'no event');
    get(url('/plain'), 'X-Case' => ++$case);
    is_deeply(line('events'), {%none, result => '', status => 204, case => $case}, 'no webhook');

    my $added = hook_at('/add', event('message.read'));
    is($added->{headers}{'x-event'}, 'verified message.read', 'add_header');
};

done;
