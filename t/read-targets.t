# Targets: what the caller wrote goes on byte for byte, or is refused; wherever
# the location's name ends, nothing else is ever asked of Chatmaid.

use Chatmaid::Test;

my $api   = sandbox;

# A gateway, and beside it what it must not serve.
my $beside = <<'END';
        location ^~ /denied/    { chatmaid_gateway /.chatmaid/; }
        location ^~ /denied/v1/ { deny all; }
        location ^~ /denied/account { deny all; }
        location ^~ /old/       { rewrite ^/old(/.*) /denied/$1 last; }
        location ^~ /.chatmaid/ { %PROXY% proxy_pass https://chatmaid_api/; }
END

my $nginx = nginx(
    gateway => <<'END',
        chatmaid_sender +15550100001;
        if ($arg_if) { add_header X-If yes; }
        if ($arg_set) { set $unused 1; }
        rewrite ^/chatmaid/old/(.*) /chatmaid/messages/$1 break;
        location ^~ /chatmaid/inner/ { chatmaid_gateway /.chatmaid/; chatmaid_scope account:read messages:send; }
        location ^~ /chatmaid/nested/ { chatmaid_gateway /chatmaid/.nested/; }
END
    server  => <<"END",
        rewrite ^/wa/(.*) /chatmaid/\$1 last;
        location ^~ /only-get/    { chatmaid_gateway /.chatmaid/; limit_except GET { deny all; } }
        location ^~ /careful/     { chatmaid_gateway /.chatmaid/; chatmaid_sender +15550100001;
                                    limit_except GET { allow 127.0.0.1; deny all; } }
        location ^~ "/chat maid/" { chatmaid_gateway "/.chat maid/"; }
        location ^~ "/.chat maid/" { %PROXY% proxy_pass https://chatmaid_api/; }
        location ^~ /ch\xc3\xa4t/ { chatmaid_gateway /.chatmaid/; }
        location ^~ /a+b%3F/      { chatmaid_gateway /.c+d%3F/; }
        location ^~ /.c+d%3F/     { %PROXY% proxy_pass https://chatmaid_api/; }
        location ^~ /equal/       { chatmaid_gateway /v1/; chatmaid_sender +15550100001; }
        location ^~ /v1/          { %PROXY% proxy_pass https://chatmaid_api/; }
        location ^~ /legacy/      { try_files /nonexistent /chatmaid/messages?q=\$uri; }
        location ^~ /again/       { rewrite ^/again/(.*) /chatmaid/messages?q=\$1 last; }
        location ^~ /chatmaid/.nested/ { %PROXY% proxy_pass https://chatmaid_api/; }
END
    servers => <<"END",
    server {
        listen 127.0.0.1:%PORT:unmerged%;
        merge_slashes off;
        location ^~ /chatmaid/  { chatmaid_gateway /.chatmaid/; }
$beside
    }
    server { listen 127.0.0.1:%PORT:mixed%; merge_slashes off; server_name other.example; }
    server {
        listen 127.0.0.1:%PORT:mixed%;
        server_name localhost;
        merge_slashes on;
$beside
    }
    server {
        listen 127.0.0.1:%PORT:merged%;
$beside
    }
END
);

sub ask ($target, $port = $nginx->port, $method = 'GET', $more = '') {
    return raw($port, "$method $target HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n$more");
}

# [answer, targets at Chatmaid]
sub asked ($target, @more) {
    my $from   = $api->count + 1;
    my $answer = ask($target, $more[0] // $nginx->port, 'GET', "\r\n");
    return ($answer, map { $_->{target} } $api->requests(from => $from));
}

sub passes ($target, $expected, $name = $target, @more) {
    my ($answer, @calls) = asked($target, @more);
    is("@calls", $expected, $name);
    unlike($answer->{headers}{'content-type'}, qr/html/, "$name: no page");
}

sub refused ($target, $name = $target, @more) {
    my ($answer, @calls) = asked($target, @more);
    is("@calls", '', "$name: nothing is called");
    is($answer->{status}, 400, "$name: 400");
    is($answer->{headers}{'content-type'}, 'application/problem+json', "$name: a problem");
    is($answer->{json}{code}, 'invalid_request', "$name: its code");
}


subtest 'IDs go on byte for byte' => sub {
    my @ids = ('+1', '%2B1', '%2b1', '%3F', '%3f', '%25', '%2525', '%252F', '%252e%252e', '%41%7a%30%2d%7E', 'a%20b',
        '%C3%A9', "\xc3\xa9", "\xff\xfe", '%FF%fe', '%80', '%23', ';x=1', 'a,b', "a'b", '(x)', '*', '!~-_', '...', '.a', 'a.',
        '..a', '..;', 'a&b=c', '@:$', '%26%3D', '"', '%22', '<>{}|^`[]', '%5C', 'x' x 3000);
    for my $id (@ids) {
        my $name = substr $id, 0, 40;
        passes("/chatmaid/messages/$id", "/v1/messages/$id", $name);
        passes("/chatmaid/phones/$id/status?a=$id", "/v1/phone-numbers/$id/status?a=$id", "$name, twice")
            unless $id =~ /[#]/;
    }
};

subtest 'queries go on byte for byte' => sub {
    my @queries = ('a=%2B', 'a+b=c+d', 'a=%', 'a=%zz&%', '%00', 'a=/../b', 'a?b??', '&&a&=&', '=', "\xc3\xa9=\xff",
        'a=%2f..%2F', '"<>\\^`{|}', 'wait', 'a=' . 'y' x 3000);
    for my $query (@queries) {
        passes("/chatmaid/messages?$query", "/v1/messages?$query", substr $query, 0, 40);
    }
    my (undef, @calls) = asked('/chatmaid/messages?');
    like("@calls", qr{\A/v1/messages\??\z}, 'none at all');
    passes('/chatmaid/messages', '/v1/messages', 'no question mark');
};

subtest 'what is refused' => sub {
    my @targets = (
        (map { "/chatmaid/messages/$_" } '%2F', '%2f', 'a%2Fb', '%2fa', 'a%2F', '.', '..', '%2e', '%2E%2e', '.%2E', '%2e.',
            'x/..', 'x/../y', './x', 'x%2F..', '%2e%2e/account', '\\', '..\\account', 'a\\b', 'a\\..\\b', '%5C\\', '%01', 'a%09', '%0a', '%0D%0A', '%1f', '%7f', 'a#b', '#', '%2e#'),
        '/chatmaid/./account', '/chatmaid/messages/../account', '/chatmaid/x/%2e%2e/account', '/chatmaid/account/.',
        '/chatmaid/phones/%2e%2e/status', '/chatmaid/phones/x%2fstatus', '/chatmaid/messages/../../chatmaid/account',
        '/chatmaid/phones/x\\y/status', '/chatmaid/\\account', '/chatmaid/messages/inbound/..%2f..%2faccount', '/chatmaid/account#', '/chatmaid%2Faccount',
    );
    refused($_) for @targets;

    my ($answer, @calls) = asked('/chatmaid/messages?a=b#c');
    ok("@calls" eq '/v1/messages?a=b#c' || "@calls" eq '' && $answer->{status} == 400, 'a "#" in a query')
        or diag("$answer->{status} @calls");

    for my $target ('/chatmaid/messages/%00', '/chatmaid/messages/%zz', "/chatmaid/messages/\x01", "/chatmaid/messages?\x7f",
                    '/chatmaid/../../account')
    {
        my ($answer, @calls) = asked($target);
        is("$answer->{status} @calls", '400 ', 'refused by nginx itself: ' . $target =~ s/([^ -~])/sprintf '\x%02x', ord $1/er);
    }
};

# nginx finds the location by the decoded path: cut right, or 400.
subtest 'prefixes' => sub {
    my @prefixes = ('//chatmaid/', '///chatmaid//', '/%63hatmaid/', '/%63%68%61%74%6D%61%69%64/', '/chatmaid//', '/chatmaid///',
        'http://localhost/chatmaid/', 'HTTP://localhost//chatmaid/', 'http://localhost:80/%63hatmaid//');
    for my $prefix (@prefixes) {
        passes("${prefix}account", '/v1/account', "${prefix}account");
        passes("${prefix}messages/%2B1?x=%2B&y=//", '/v1/messages/%2B1?x=%2B&y=//', "${prefix}messages/%2B1");
        refused("${prefix}messages/%2F");
    }
    passes('/chatmaid/%61ccount', '/v1/account', 'an encoded endpoint');
    passes('/chatmaid/messages//%2B1', '/v1/messages/%2B1', 'slashes between');

    for my $prefix ('/x/../chatmaid/', '/./chatmaid/', '/x/%2e%2e/chatmaid/', '/chatmaid/../chatmaid/', '/x/..//chatmaid/',
        '/chatmaid%2f', '/%2fchatmaid/', '/..x/../chatmaid/', 'http://localhost/x/../chatmaid/', '/chatmaid/x/../../chatmaid/')
    {
        for my $rest ('account', 'messages/%2B1') {
            my ($answer, @calls) = asked("$prefix$rest");
            my $wanted = "/v1/$rest";
            ok("@calls" eq $wanted || "@calls" eq '' && $answer->{status} == 400, "$prefix$rest")
                or diag("$answer->{status} @calls");
        }
    }
    for my $target ('/CHATMAID/account', '/chatmaidx/account', '/.chatmaid/v1/account', '//.chatmaid/v1/account',
        '/%2echatmaid/v1/account', '/chatmaid/../.chatmaid/v1/account', 'http://localhost/.chatmaid/v1/account')
    {
        my ($answer, @calls) = asked($target);
        is("$answer->{status} @calls", '404 ', "$target: another location");
    }
};

subtest 'merge_slashes off' => sub {
    my $port = $nginx->port('unmerged');
    passes('/chatmaid/account', '/v1/account', 'as usual', $port);
    passes('/chatmaid/messages/%2B1?a=//', '/v1/messages/%2B1?a=//', 'an ID', $port);
    for my $target ('/chatmaid//account', '/chatmaid/messages//x', '/chatmaid/phones//status', '//chatmaid/account') {
        my ($answer, @calls) = asked($target, $port);
        is("$answer->{status} @calls", '404 ', "$target: an empty segment");
    }
    for my $target ('/chatmaid//v1/account', '/chatmaid///v1/messages/%2B1?a=//', '/chatmaid//v1//account', '/chatmaid/v1//account', '//chatmaid/v1/account') {
        my ($answer, @calls) = asked($target, $port);
        is("$answer->{status} @calls", '404 ', "$target: an empty segment");
    }
    refused('/chatmaid/messages/%2F', 'a slash', $port);
};

# By another rule than nginx's a request could pass by the location that denies it.
subtest 'slashes, and a location beside that denies' => sub {
    for my $server (qw(merged unmerged mixed)) {
        for my $target ('/denied/v1/account', '/denied//v1/account', '/denied//account', '/denied/account', '/denied///v1/account',
            '/old/v1/account', '/old/account', '/old//account', '/old//v1/account')
        {
            my ($answer, @calls) = asked($target, $nginx->port($server));
            like("$answer->{status} @calls", qr/\A40[34] \z/, "$server: $target");
        }
    }
};

subtest 'rewrite' => sub {
    passes('/wa/account', '/v1/account');
    passes('/wa/phones/%2B15550100001/status', '/v1/phone-numbers/%2B15550100001/status', 'an ID is encoded again');
    passes('/wa/messages/a%3Fb%25%23?x=%2B+', '/v1/messages/a%3Fb%25%23?x=%2B+', 'also what would end a path');
    passes('/wa/messages/%C3%A9', '/v1/messages/%C3%A9', 'also UTF-8');
    passes('/wa/messages/%252F', '/v1/messages/%252F', 'also a percent sign');
    passes('/wa/messages/../account', '/v1/account', 'what nginx has resolved');
    refused('/wa/messages/%01', 'a control byte');
    passes('/again/a%2Bb', '/v1/messages?q=a%2Bb', 'into a query');
    passes('/chatmaid/old/%2B1?y', '/v1/messages/%2B1?y', 'within the location');

    my $body   = '{"to":"+15550100099","text":"Your table is ready"}';
    my $answer = ask('/wa/send', $nginx->port, 'POST',
        "Content-Type: application/json\r\nContent-Length: ${\length $body}\r\n\r\n$body");
    is($answer->{status}, 201, 'a send');
};

# $uri is decoded: what was encoded in a path would be a request line's own.
subtest 'try_files' => sub {
    passes('/legacy/account', '/v1/messages?q=/legacy/account', 'a query made of a path');
    passes('/legacy/%C3%A9+', "/v1/messages?q=/legacy/\xc3\xa9+", 'with what a query may hold');
    refused("/legacy/x$_", "$_ in it") for '%20', '%0d%0a', '%0D', '%0a', '%09', '%01', '%1F', '%7f', '%20HTTP/1.1%0d%0aX-Evil:%20yes%0d%0aX-Rest:';
};

subtest 'if, limit_except, nested locations' => sub {
    passes('/chatmaid/messages/%2B1?if=1', '/v1/messages/%2B1?if=1', 'if');
    passes('/chatmaid/messages/%2B1?set=1', '/v1/messages/%2B1?set=1', 'if with set');
    is((asked('/chatmaid/account?if=1'))[0]{headers}{'x-if'}, 'yes', 'what is in the if holds');
    refused('/chatmaid/messages/%2F?if=1');

    passes('/only-get/account', '/v1/account', 'limit_except: allowed');
    my $m = {to => '+15550100099', text => 'Your table is nearly ready'};
    my $denied = post(url('/only-get/send'), $m);
    is("$denied->{status} $denied->{json}{code}", '403 forbidden', 'limit_except: denied');
    is(post(url('/careful/send'), $m)->{status}, 201, 'limit_except: allowed in it');
    is(post(url('/careful/nothing'), $m)->{status}, 404, 'limit_except: no endpoint');
    is(post(url('/chatmaid/send?if=1'), {%$m, text => 'if'})->{status}, 201, 'a send in an if');

    passes('/chatmaid/inner/account', '/v1/account', 'a gateway within');
    is(post(url('/chatmaid/inner/send'), {%$m, text => 'inner'})->{status}, 201, 'has its sender from outside');
    is(get('/inner/phones')->{status}, 403, 'and its own scopes');
    passes('/chatmaid/nested/messages/%2B1', '/v1/messages/%2B1', 'a gateway within, another internal location');
};

subtest "locations' names" => sub {
    passes('/chat%20maid/messages/%2B1%20x', '/v1/messages/%2B1%20x', 'a space');
    passes('/%63hat%20maid//account?%20', '/v1/account?%20', 'a space, written otherwise');
    passes('/ch%C3%A4t/messages/%C3%A4', '/v1/messages/%C3%A4', 'UTF-8');
    passes("/ch\xc3\xa4t/messages/\xc3\xa4", "/v1/messages/\xc3\xa4", 'raw bytes');
    passes('/a+b%253F/messages/%3F', '/v1/messages/%3F', 'a plus and a percent sign');
    passes('/a%2Bb%253F/account', '/v1/account', 'an encoded plus');
    passes('/equal/account', '/v1/account', "a path that begins with the internal location's name");
    passes('/equal/messages/%2B1?x=%2B', '/v1/messages/%2B1?x=%2B', 'an ID behind it');
    is(post(url('/equal/send'), {to => '+15550100099', text => 'base'})->{status}, 201, 'a send there');
    is($api->last->{target}, '/v1/messages/send', 'its target');
    is($api->last->{version}, '1.1', 'its version');
    refused('/equal/messages/x/..%2faccount', 'nothing leaves it');
    refused('/equal/messages/%2e%2e', 'nor by dots');
};

done;
