# HTTP/1.x as hostile as it comes: however a send arrives and whenever its caller
# leaves, it is sent once, and the connection and the worker live on.

use Chatmaid::Test;

my $api   = sandbox;
my $nginx = nginx(
    upstream => 'keepalive 4;',
    gateway  => 'chatmaid_sender +15550100001;',
    server   => <<'END');
        keepalive_timeout 60s;
        location = /status { stub_status; }
        location ^~ /file/   { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_in_file_only clean; }
        location ^~ /small/  { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_buffer_size 1k; }
        location ^~ /single/ { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001; client_body_in_single_buffer on; }
        location ^~ /large/  { chatmaid_gateway /.chatmaid/; error_log %DIR%/error.log info; }
        location ^~ /tiny/   { chatmaid_gateway /.tiny/; chatmaid_sender +15550100001; subrequest_output_buffer_size 1k;
                               error_log %DIR%/error.log info; }
        location ^~ /.tiny/  {
            %PROXY%
            subrequest_output_buffer_size 16;
            proxy_buffer_size 1k; proxy_buffers 4 1k; proxy_busy_buffers_size 2k; proxy_max_temp_file_size 0;
            proxy_pass https://chatmaid_api/;
        }
END

my $serial = 0;
my $worker = ($nginx->workers)[0];

sub text ()        { 'Your table is ready, ' . ++$serial }
sub json ($text, $padding = 0) { '{"to":"+15550100099","text":"' . $text . '"' . ' ' x $padding . '}' }
sub head ($method, $path, $version = '1.1', @headers) {
    return join "\r\n", "$method $path HTTP/$version", 'Host: localhost', @headers, '', '';
}
sub send_head ($body, $location = 'chatmaid', $version = '1.1', @headers) {
    return head('POST', "/$location/send", $version, 'Content-Type: application/json',
        (grep({ /^Transfer/ } @headers) ? () : 'Content-Length: ' . length $body), @headers);
}
sub chunks ($body, $size, $more = '', $trailer = '') {
    return join '', (map { sprintf("%x%s\r\n%s\r\n", length, $more, $_) } unpack "(a$size)*", $body), "0\r\n$trailer\r\n";
}
sub statuses ($raw) { join ' ', $raw =~ m{HTTP/1\.1 (\d+) }g }
sub bytes ($string) { split //, $string }

my $next    = head('GET', '/chatmaid/account', '1.1', 'Connection: close');
my $chunked = 'Transfer-Encoding: chunked';


# [name, text => pieces, status]; on each connection a read follows
subtest 'however it arrives' => sub {
    my $long  = 'x' x 4000;
    my @cases = (
        ['with a length',            sub ($t) { my $b = json($t); send_head($b) . $b }],
        ['in two pieces',            sub ($t) { my $b = json($t); (send_head($b), $b) }],
        ['in pieces of one byte',    sub ($t) { my $b = json($t); bytes(send_head($b) . $b) }],
        ['one chunk',                sub ($t) { my $b = json($t); send_head($b, 'chatmaid', '1.1', $chunked) . chunks($b, 9999) }],
        ['chunks of one byte',       sub ($t) { my $b = json($t); send_head($b, 'chatmaid', '1.1', $chunked) . chunks($b, 1) }],
        ['chunks in pieces of one byte', sub ($t) { my $b = json($t); (send_head($b, 'chatmaid', '1.1', $chunked), bytes(chunks($b, 7))) }],
        ['extensions and a trailer', sub ($t) { my $b = json($t); send_head($b, 'chatmaid', '1.1', $chunked) . chunks($b, 20, ';a="b"', "X-Trailer: y\r\n") }],
        ['in a file',                sub ($t) { my $b = json($t); send_head($b, 'file') . $b }],
        ['chunks in a file',         sub ($t) { my $b = json($t); send_head($b, 'file', '1.1', $chunked) . chunks($b, 11) }],
        ['pieces in a file',         sub ($t) { my $b = json($t); (send_head($b, 'file'), bytes($b)) }],
        ['larger than its buffer',   sub ($t) { my $b = json("$t $long"); (send_head($b, 'small'), unpack '(a500)*', $b) }],
        ['much larger',              sub ($t) { my $b = json($t, 200_000); (send_head($b, 'small'), $b) }],
        ['chunks, much larger',      sub ($t) { my $b = json($t, 200_000); (send_head($b, 'small', '1.1', $chunked), chunks($b, 9000)) }],
        ['in a single buffer',       sub ($t) { my $b = json("$t $long"); (send_head($b, 'single'), unpack '(a1000)*', $b) }],
        ['slowly',                   sub ($t) { my $b = json($t); unpack '(a20)*', send_head($b) . $b }, gap => 0.02],
        ['expecting',                sub ($t) { my $b = json($t); (send_head($b, 'chatmaid', '1.1', 'Expect: 100-continue'), $b) }, gap => 0.02, statuses => '100 201 200'],
        ['chunks, expecting',        sub ($t) { my $b = json($t); (send_head($b, 'file', '1.1', $chunked, 'Expect: 100-continue'), chunks($b, 30)) }, gap => 0.02, statuses => '100 201 200'],
        ['HTTP/1.0, kept alive',     sub ($t) { my $b = json($t); send_head($b, 'chatmaid', '1.0', 'Connection: keep-alive') . $b }],
        ['after empty lines',        sub ($t) { my $b = json($t); "\r\n\r\n" . send_head($b) . $b }],
    );
    for my $case (@cases) {
        my ($name, $pieces, %option) = @$case;
        my $text   = text;
        my $from   = $api->count + 1;
        my $answer = raw([$pieces->($text), $next], gap => $option{gap} // 0.0005, all => 1);
        is(statuses($answer->{raw}), $option{statuses} // '201 200', "$name: answers");
        my ($call, @more) = $api->requests(from => $from, method => 'POST');
        is(scalar @more, 0, "$name: one call");
        like($call->{body}, qr/"content": ?"\Q$text\E[" ]/, "$name: its text");
    }

    my $text = text;
    my $body = json($text);
    my $old  = raw(send_head($body, 'chatmaid', '1.0') . $body);
    is("$old->{status} $old->{headers}{connection}", '201 close', 'HTTP/1.0');
};

subtest 'refused before it has arrived' => sub {
    my $body  = json(text);
    my $wrong = "Content-Encoding: gzip";
    my $head  = send_head($body, 'chatmaid', '1.1', 'Expect: 100-continue', $wrong);
    my $sends  = $api->sends;
    is(statuses(raw($head)->{raw}), 415, 'expecting: no 100');
    is(statuses(raw([send_head($body, 'chatmaid', '1.1', $wrong), bytes($body), $next], gap => 0.0005, all => 1)->{raw}), '415 200', 'in pieces');
    is(statuses(raw([send_head($body, 'chatmaid', '1.1', $wrong, $chunked), bytes(chunks($body, 9)), $next], gap => 0.0005, all => 1)->{raw}), '415 200', 'in chunks');
    is(statuses(raw([send_head($body, 'nowhere'), $body, $next], all => 1)->{raw}), '404 200', 'elsewhere');
    my $put = head('PUT', '/chatmaid/send', '1.1', "Content-Length: 300000");
    is(statuses(raw([$put, ('x' x 100_000) x 3, $next], all => 1)->{raw}), '405 200', 'a large one');
    my $get = head('GET', '/chatmaid/account', '1.1', "Content-Length: 5");
    is(statuses(raw([$get, bytes('abcde'), $next], all => 1)->{raw}), '200 200', 'a read with a body');
    is(statuses(raw([head('GET', '/chatmaid/account', '1.1', $chunked), chunks('abcde', 2), $next], all => 1)->{raw}), '200 200', 'in chunks');
    raw([$get, 'ab'], abort => 'half');         # no whole request: answered or not
    is(get('/account')->{status}, 200, 'after a read with half a body');
    is($api->sends, $sends, 'no send');
};

subtest 'pipelines' => sub {
    my @bodies = map { json(text) } 1 .. 3;
    my @sends  = map { send_head($_) . $_ } @bodies;
    my $before = $api->sends;
    my $answer = raw(join('', @sends, $next), all => 1);
    is(statuses($answer->{raw}), '201 201 201 200', 'three sends and a read');
    is($api->sends, $before + 3, 'each sent once');
    my @ids = $answer->{raw} =~ /"id": ?"(msg_\w+)"/g;
    is_deeply(\@ids, [map { $_->{id} } ($api->messages)[-3 .. -1]], 'answered in their order');

    @sends = map { send_head($_, 'file', '1.1', $chunked) . chunks($_, 50) } map { json(text) } 1 .. 3;
    is(statuses(raw([bytes(join '', @sends), $next], gap => 0, all => 1)->{raw}), '201 201 201 200', 'in chunks, byte by byte');

    my $mixed = join '', head('GET', '/chatmaid/nothing'), send_head('{'), '{', send_head($sends[0]) . $sends[0], head('GET', '/chatmaid/phones'), $next;
    is(statuses(raw($mixed, all => 1)->{raw}), '404 400 400 200 200', 'errors in between');

    $api->fault({delay => 20}) for 1 .. 3;
    @sends = map { send_head($_) . $_ } map { json(text) } 1 .. 3;
    is(statuses(raw(join('', @sends, $next), abort => 'half', all => 1)->{raw}), '201 201 201 200', 'and then half-closed');
};

subtest 'the caller leaves' => sub {
    for my $version ('1.1', '1.0') {
        for my $how ('close', 'reset') {
            my $name   = "HTTP/$version, $how";
            my $body   = json(text);
            my $whole  = send_head($body, 'chatmaid', $version) . $body;
            my $before = $api->made;

            raw($whole, abort => $how, abort_after => $_) for 10, length($whole) - length $body, length($whole) - 1;
            raw([substr($whole, 0, -1), sub { }], abort => $how, gap => 0.01);

            $api->fault({hold => 'before'});
            raw([$whole, sub { $api->wait_held }], abort => $how);
            get('/nothing');                            # the worker has seen it leave
            is($api->made, $before, "$name: not sent so far");
            $api->release;
            ok(wait_for(sub { $api->made == $before + 1 }), "$name: before the call has its effect");

            $body  = json(text);
            $whole = send_head($body, 'file', $version) . $body;
            $api->fault({hold => 'after'});
            raw([$whole, sub { $api->wait_held }], abort => $how);
            get('/nothing');
            is(get('/account')->{status}, 200, "$name: others are served meanwhile");
            $api->release;
            is($api->made, $before + 2, "$name: before the answer");

            $body  = json(text);
            $whole = send_head($body, 'chatmaid', $version) . $body;
            $api->fault({drip => {bytes => 50, every => 2}});
            raw([$whole, sub { wait_for(sub { $api->made == $before + 3 }) }], abort => $how);
            is($api->made, $before + 3, "$name: within the answer");

            my $read = head('GET', '/chatmaid/phones', $version);
            $api->fault({hold => 'before'});
            raw([$read, sub { $api->wait_held }], abort => $how);
            get('/nothing');
            $api->release;
            is(get('/account')->{status}, 200, "$name: a read");
            is($api->made, $before + 3, "$name: nothing else was sent");
        }
    }

    $api->fault({delay => 50});
    my $body = json(text);
    is(raw(send_head($body) . $body, abort => 'half')->{status}, 201, 'half-closed: answered');
    $api->fault({delay => 50});
    is(raw(head('GET', '/chatmaid/account'), abort => 'half')->{status}, 200, 'half-closed, a read: answered');
};

# A read's body means nothing, but it is the request's: read before the call.
subtest 'a read with a body, and the caller leaves' => sub {
    my $read = sub ($name, @more) { head('GET', '/chatmaid/messages', '1.1', "X-Request-Id: $name", @more) };
    for my $how ('half', 'close', 'reset') {
        for my $body ('', 'abc') {
            my $name = "body-$how-" . length $body;
            $api->fault({hold => 'after', match => {path => '/v1/messages'}});
            my $calls  = $api->count;
            my $answer = raw([$read->($name, 'Content-Length: 10'), length $body ? $body : (), sub { }], abort => $how, gap => 0.02);
            isnt($answer->{error} // '', 'deadline', "$name: ended");
            is(get('/account')->{status}, 200, "$name: the next request");
            is($api->count, $calls + 1, "$name: nothing was called");
            $api->release;
            $api->clear_faults;
        }

        for my $chunks (0, 1) {
            my $name = "whole-$how-$chunks";
            $api->fault({hold => 'after'});
            my @request = $chunks ? ($read->($name, $chunked), chunks('0123456789', 4)) : ($read->($name, 'Content-Length: 10'), '0123456789');
            my $answer  = raw([@request, sub { $api->wait_held; $api->release if $how eq 'half' }], abort => $how);
            is($answer->{status}, 200, "$name: answered") if $how eq 'half';
            get('/nothing');                            # the worker has seen it leave
            $api->release;
            is(get('/account')->{status}, 200, "$name: the next request");
        }
    }
    $api->fault({hold => 'after'});
    my $late = raw([$read->('late', 'Content-Length: 3'), sub { get('/nothing') }, 'abc', sub { $api->wait_held; $api->release }, $next], all => 1);
    is(statuses($late->{raw}), '200 200', 'a body that comes late');
};

subtest 'a slow Chatmaid' => sub {
    for my $location ('chatmaid', 'tiny') {
        my $body = json(text);
        $api->fault({delay => 20, drip => {bytes => 3, every => 1}});
        is(statuses(raw(send_head($body, $location) . $body . $next, all => 1)->{raw}), '201 200', "$location: byte by byte");
        $api->fault({drip => {bytes => 10, every => 1}, chunked => 50});
        is(statuses(raw(head('GET', "/$location/phones") . $next, all => 1)->{raw}), '200 200', "$location: chunk by chunk");
    }
};

# The largest answer that passes, and one byte more.
subtest 'large answers' => sub {
    my $limit = 4 * 1024 * 1024;
    my $list  = sub ($size) {
        my ($first, $last) = ('{"success":true,"data":{"data":[{"id":"', '"}],"pagination":{"page":1}}}');
        return $first . 'x' x ($size - length "$first$last") . $last;
    };
    for my $case (['large', 'length', {}], ['large', 'chunked', {chunked => 100}], ['tiny', 'chunked', {chunked => 100}]) {
        my ($location, $how, $framing) = @$case;
        my $name = "$location, $how";
        my $ask  = sub ($size) {
            $api->fault({status => 200, body => $list->($size), %$framing});
            return raw(head('GET', "/$location/messages") . $next, all => 1);
        };
        my $passed = $ask->($location eq 'tiny' ? 3.9 * 1024 * 1024 : $limit);
        is(statuses($passed->{raw}), '200 200', "$name: passes");
        my ($x) = $passed->{raw} =~ /(x{9,})/;
        ok(length $x > 4_000_000 && $passed->{raw} =~ /x"\}\], ?"pagination":/, "$name: whole");
        my $refused = $ask->($limit + 1);
        is(statuses($refused->{raw}), '502 200', "$name: one byte more");
        like($refused->{raw}, qr/"upstream_invalid_response"/, "$name: its code");
    }
    $api->fault({oversize => $limit});
    my $send = post('/send', json(text));
    is("$send->{status} $send->{json}{code} $send->{json}{outcome}", '502 upstream_invalid_response unknown', 'a send');
};

is(($nginx->workers)[0], $worker, 'the worker is the same');
is(post('/send', json(text))->{status}, 201, 'and sends');
ok(wait_for(sub { get(url('/status'))->{body} =~ /^Active connections: 1 .*Reading: 0 Writing: 1 Waiting: 0/s }), 'no connection is left over');
is($_, undef, 'no file left') for glob $nginx->dir . '/body/*/*/*';
ok(!-s "$_", 'no file left') for grep { -f } glob $nginx->dir . '/{body,proxy}/*';
done;
